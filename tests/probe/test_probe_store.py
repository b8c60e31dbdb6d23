"""Past probes: kept, opened, compared, written out."""

import csv
import io

import pytest
from probe_cases import result

from advisor.errors import ProbeError
from advisor.probe import store
from advisor.probe.compare import differences
from advisor.probe.result import Ending, ProbeResult


def test_saving_and_opening():
    saved = result()
    store.save(saved)
    assert store.load(saved.id) == saved
    (entry,) = store.entries()
    assert entry.title == "Qwen3 8B Q4_K_M"
    assert entry.decode_tps == 8.25
    store.delete(saved.id)
    assert not store.entries()
    with pytest.raises(ProbeError, match="not there"):
        store.load(saved.id)


def test_newest_first_and_damaged_ones_left_out():
    store.save(result("20261123T120000-aaa"))
    store.save(result("20261124T120000-bbb"))
    (store.folder() / "20261125T120000-ccc.json").write_text('{"version": 1, "result": {}}')
    assert [entry.id[-3:] for entry in store.entries()] == ["bbb", "aaa"]
    with pytest.raises(ProbeError, match="damaged"):
        store.load("20261125T120000-ccc")


def test_newer_files_and_strange_names_are_refused():
    store.folder().mkdir(parents=True)
    (store.folder() / "x.json").write_text('{"version": 99, "result": {}}')
    with pytest.raises(ProbeError, match="newer"):
        store.load("x")
    with pytest.raises(ProbeError, match="not the name"):
        store.load("../../etc/passwd")


def test_few_of_those_that_were_stopped_are_kept():
    stopped = Ending(state="stopped", sentence="The probe was stopped.")
    for day in range(10, 16):
        store.save(result(f"202611{day}T120000-aaa", ending=stopped))
    store.save(result("20261101T120000-bbb"))
    store.tidy()
    assert store.identities() == [f"202611{day}T120000-aaa" for day in (15, 14, 13)] + [
        "20261101T120000-bbb"
    ]


def test_csv_has_a_row_per_sample():
    rows = list(csv.reader(io.StringIO(store.to_csv(result()))))
    assert rows[0] == ["ms", "phase", "host.used [KiB]"]
    assert rows[1] == ["0", "loading", "1"]
    assert rows[2] == ["100", "prefill", ""]
    assert len(rows) == 5


def test_the_table_is_llama_benchs():
    text = store.to_markdown([result()])
    lines = text.splitlines()
    assert lines[0].startswith("| model | size | params | backend |")
    assert "| pp512 | 68.40 |" in lines[2]
    assert "| tg32 @ d512 | 8.25 |" in lines[3]
    assert "8.19 B" in lines[2]
    assert "empty weights" in text


def test_json_round_trip():
    assert ProbeResult.model_validate_json(store.to_json(result())) == result()


def test_two_probes_differ_where_both_measured():
    one = result()
    speeds = (one.speeds[0].model_copy(update={"decode_tps": 16.5, "prefill_tps": 34.2}),)
    slow, fast = result("20261123T120000-abd", speeds=one.speeds), result(speeds=speeds)
    found = {d.kind: d for d in differences(fast, slow)}
    assert found["decode"].relative == pytest.approx(1.0)
    assert found["prefill"].relative == pytest.approx(-0.5)
    deeper = (one.speeds[0].model_copy(update={"depth": 4096, "n_prompt": 4096}),)
    assert not differences(result(speeds=deeper), slow)
