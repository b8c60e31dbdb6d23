"""Compute buffers kept from one run to the next are those that would be worked out anew."""

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor import kept_buffers
from advisor.engine.told import told
from advisor.hardware.compose import parse_rig
from advisor.kept_buffers import KeptBuffers, keeping, rules, write_shipped
from advisor.llm.catalogue import catalogue
from advisor.sizing.allocation import Allocation, allocate, room
from advisor.sizing.compute import recall, traces
from advisor.sizing.settings import RunSettings

SIZES = (3 << 20, 1 << 20)
NAMES = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-30B-A3B")
RIGS = ("RTX 4090 + 64 GB DDR5-6000", "2x RTX 3060 12GB + 64 GB DDR5-6000", "64 GB DDR5-6000")
SETTINGS: tuple[dict[str, object], ...] = (
    {},
    {"ctx": 8192},
    {"ubatch_size": 256},
    {"ctk": "q8_0", "ctv": "q8_0"},
    {"parallel": 2},
    {"flash_attn": "off"},
    {"n_gpu_layers": 12},
    {"n_cpu_moe": 6},
    {"kv_offload": False},
    {"override_tensor": ("ffn_down=CPU",)},
)


class Noted:
    """Keeps figures in memory and counts what was found."""

    def __init__(self) -> None:
        self.kept: dict[bytes, recall.Sizes] = {}
        self.found = 0

    def get(self, identity: bytes) -> recall.Sizes | None:
        self.found += identity in self.kept
        return self.kept.get(identity)

    def put(self, identity: bytes, sizes: recall.Sizes) -> None:
        assert identity not in self.kept
        self.kept[identity] = sizes


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    traces.measure.cache_clear()
    yield
    recall.keep_in(None)


def all_of_it(name: str) -> Iterator[Allocation]:
    for file_type in ("Q4_K_M", "F16"):
        model = catalogue().find(name).model(file_type)
        for rig in RIGS:
            space = room(parse_rig(rig))
            for update in SETTINGS:
                settings = RunSettings(ctx=4096).model_copy(update=update)
                yield allocate(model, settings, space.backends, space.free)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recalled_is_what_would_be_made(name: str) -> None:
    made = [found.compute for found in all_of_it(name)]
    noted = Noted()
    recall.keep_in(noted)
    traces.measure.cache_clear()
    assert [found.compute for found in all_of_it(name)] == made
    asked = traces.measure.cache_info().misses
    traces.measure.cache_clear()
    noted.found = 0

    assert [found.compute for found in all_of_it(name)] == made
    # Every question was put apart from every other, and found again.
    assert noted.found == asked == len(noted.kept)


def test_figures_for_another_number_of_devices_are_not_taken() -> None:
    class Wrong(Noted):
        def get(self, identity: bytes) -> recall.Sizes | None:
            return tuple(identity)

        def put(self, identity: bytes, sizes: recall.Sizes) -> None:
            self.kept[identity] = sizes

    model, space = catalogue().find(NAMES[0]).model("Q8_0"), room(parse_rig(RIGS[0]))
    made = allocate(model, RunSettings(), space.backends, space.free)
    traces.measure.cache_clear()
    recall.keep_in(Wrong())

    assert allocate(model, RunSettings(), space.backends, space.free) == made


PROGRAM = """
from advisor.sizing.compute import recall
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.allocation import allocate, room
from advisor.sizing.settings import RunSettings
class Shown:
    def get(self, identity): print(identity.hex())
    def put(self, identity, sizes): pass
recall.keep_in(Shown())
space = room(parse_rig("2x RTX 4090 + 64 GB DDR5-6000"))
for name in {names}:
    for file_type in {types}:
        model = catalogue().find(name).model(file_type)
        allocate(model, RunSettings(), space.backends, space.free)
        allocate(model, RunSettings(n_cpu_moe=5), space.backends, space.free)
"""


def test_names_are_the_same_in_every_run() -> None:
    """Whatever was sized before, and however Python orders its sets that day."""
    shown: list[set[str]] = []
    names = ("Qwen/Qwen3-30B-A3B", "google/gemma-3n-E2B-it")
    for seed, order in (("1", names), ("2", names[::-1])):
        program = PROGRAM.format(names=order, types=("Q4_K_M", "Q8_0")[:: int(seed) * 2 - 3])
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        shown.append(set(answer.stdout.split()))

    assert shown[0] == shown[1]
    assert len(shown[0]) >= 4


def test_a_second_start_finds_what_the_first_kept(tmp_path: Path) -> None:
    for _start in range(2):
        with keeping():
            model, space = catalogue().find(NAMES[0]).model("Q8_0"), room(parse_rig(RIGS[0]))
            traces.measure.cache_clear()
            found = allocate(model, RunSettings(), space.backends, space.free)
    traces.measure.cache_clear()

    assert found == allocate(model, RunSettings(), space.backends, space.free)
    kept = KeptBuffers()
    assert kept.get(b"nothing") is None
    assert [len(sizes) for sizes in kept.everything().values()] == [2]


def kept_in(folder: Path, of: str = "rules", most: int = 100) -> KeptBuffers:
    kept = KeptBuffers(folder, of, most)
    assert kept.get(b"nothing") is None
    return kept


def fill(folder: Path, *names: bytes, **how: int) -> Path:
    kept = kept_in(folder, **how)  # type: ignore[arg-type]
    for name in names:
        kept.put(name, SIZES)
    kept.write()
    (file,) = folder.iterdir()
    return file


def test_figures_of_other_rules_are_deleted(tmp_path: Path) -> None:
    fill(tmp_path, b"a")

    assert kept_in(tmp_path, "newer rules").get(b"a") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["noise", "cut", "empty", "figure", "words"])
def test_a_damaged_file_is_never_believed(tmp_path: Path, damage: str) -> None:
    file = fill(tmp_path, b"a", b"b")
    data = file.read_bytes()
    if damage == "noise":
        file.write_bytes(bytes(range(256)) * 64)
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        text = b"9145728 1048576" if damage == "figure" else b"many MiB at all"
        assert data.count(b"3145728 1048576") == 2
        file.write_bytes(data.replace(b"3145728 1048576", text))

    kept = kept_in(tmp_path)
    assert kept.get(b"a") is None
    kept.put(b"c", SIZES)
    kept.write()

    assert kept_in(tmp_path).get(b"c") == SIZES


def test_two_programs_share_a_file(tmp_path: Path) -> None:
    programs = [kept_in(tmp_path) for _ in range(4)]

    def work(number: int) -> None:
        for i in range(20):
            programs[number].put(f"{number} {i}".encode(), SIZES)
            programs[number].write()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for program in programs:
        program.write()

    assert len(kept_in(tmp_path).everything()) == 80


def test_the_file_stays_small(tmp_path: Path) -> None:
    fill(tmp_path, *(b"%d" % i for i in range(30)), most=10)

    assert set(kept_in(tmp_path).everything()) == {b"%d" % i for i in range(20, 30)}


def test_no_folder_to_write_to_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("in the way")
    kept = KeptBuffers(file / "cache", "rules")

    assert kept.get(b"a") is None
    kept.put(b"a", SIZES)
    kept.write()


def test_changed_rules_have_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("sizing", "llm"):
        (tmp_path / part).mkdir()
    (tmp_path / "sizing" / "rule.py").write_text("ROWS = 1")
    monkeypatch.setattr(kept_buffers, "__file__", str(tmp_path / "kept_buffers.py"))
    before = rules()
    (tmp_path / "sizing" / "rule.py").write_text("ROWS = 2")

    assert rules() != before


def test_a_packed_program_brings_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shipped(tmp_path, {b"a": SIZES, b"b": (7,)})
    monkeypatch.setattr("advisor.resources.path", tmp_path.joinpath)
    assert KeptBuffers(tmp_path, "rules").get(b"a") is None

    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert KeptBuffers(tmp_path, "rules").everything() == {b"a": SIZES, b"b": (7,)}
    kept = KeptBuffers(tmp_path, "rules")
    assert kept.get(b"a") == SIZES
    kept.put(b"c", (1,))
    kept.write()
    assert KeptBuffers(tmp_path, "rules").get(b"c") == (1,)

    (tmp_path / "compute-buffers.txt").write_text("no figures")
    assert KeptBuffers(tmp_path, "rules").everything() == {b"c": (1,)}


def test_a_first_start_finds_what_the_build_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "packaging"))
    collect = importlib.import_module("ship_buffers").collect
    monkeypatch.setattr("advisor.answers.contexts_of", lambda *_: (RunSettings().ctx,))
    entries = catalogue().entries
    place = next(at for at, entry in enumerate(entries) if entry.id == NAMES[0])
    found = collect(slice(place, place + 1))
    noted = Noted()
    noted.kept.update(found)
    rig = parse_rig(RIGS[0])
    model, space = catalogue().find(NAMES[0]).model("Q8_0"), room(rig)

    traces.measure.cache_clear()
    recall.keep_in(noted)
    # As the window asks: of the llama.cpp that would run it.
    allocate(model, told(RunSettings(), rig), space.backends, space.free)

    assert noted.found == 1
