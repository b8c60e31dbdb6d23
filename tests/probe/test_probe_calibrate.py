"""What a probe measured is what the speed model then says, and nothing else is changed."""

import math
from datetime import UTC, datetime

import pytest

from advisor.cli import request
from advisor.cli.request import Sizer
from advisor.cli.size import show
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Host, Rig
from advisor.probe import store
from advisor.probe.calibrate import Measured, calibrate, learn, predicted, same_machine, usable
from advisor.probe.kept import teaching
from advisor.probe.result import (
    Component,
    Ending,
    EngineFacts,
    Observation,
    PlaceResult,
    ProbeResult,
    SpeedPoint,
)
from advisor.sizing.calibration import Calibration
from advisor.sizing.sampling import served_tps
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_machine import ram_rate
from tests import tiny
from tests.sizing.speed_cases import model as named_model

HERE = Rig(name="This machine", hosts=(Host(cpu="EPYC", threads=2, ram_available=32 << 30),))
CARD = parse_rig("RTX 4090 + 64 GB DDR5-6000").model_copy(update={"imagined": False})
BIG = {
    **tiny.DENSE,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 24,
    "vocab_size": 32000,
}


def probe(rig: Rig, model, *, decode=20.0, prefill=200.0, depth=512, **changes) -> Measured:
    fields = {
        "id": "20261123T120000-abc",
        "created": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "rig": rig,
        "model_id": model.id,
        "model_name": model.name,
        "file_type": model.file_type,
        "file_bytes": model.nbytes,
        "ghost": True,
        "settings": RunSettings(ctx=8192),
        "engine": EngineFacts(name="embedded", version="b11549"),
        "ending": Ending(state="done", sentence="The probe ran to its end."),
        "speeds": (
            SpeedPoint(
                depth=depth,
                n_prompt=512,
                prefill_tps=prefill,
                ttft_s=1.0,
                n_decode=64,
                decode_tps=decode,
            ),
        ),
    }
    return Measured(model, ProbeResult(**{**fields, **changes}))


@pytest.mark.parametrize("rig", [HERE, CARD], ids=["cpu", "gpu"])
def test_the_measured_point_is_met(rig):
    before = predicted(probe(CARD, tiny.tiny(BIG)), probe(CARD, tiny.tiny(BIG)).result.speeds[0],
                       Calibration())  # fmt: skip
    decode = 20.0 if rig is HERE else before.decode_tps.mid * 0.8
    prefill = 200.0 if rig is HERE else before.prefill_tps.mid * 0.7
    measured = probe(rig, tiny.tiny(BIG), decode=decode, prefill=prefill)
    found = calibrate([measured])
    speed = predicted(measured, measured.result.speeds[0], found)
    assert served_tps(speed).mid == pytest.approx(decode, rel=0.02)
    read = predicted(measured, measured.result.speeds[0], found, reading=True)
    assert read.prefill_tps.mid == pytest.approx(prefill, rel=0.05)
    assert speed.calibrated_by == "probe of Tiny qwen3 Q8_0, 2026-11-23"
    assert "Tiny qwen3" in found.source


def test_an_unknown_machine_gets_speeds_for_other_models():
    found = calibrate([probe(HERE, tiny.tiny(BIG))])
    other = probe(HERE, tiny.tiny({**BIG, "num_hidden_layers": 48}))
    speed = predicted(other, other.result.speeds[0], found)
    # Twice the blocks behind the same head: nearly half the speed.
    assert 9.5 < speed.decode_tps.mid < 13


def test_several_probes_agree_on_a_middle():
    model = tiny.tiny(BIG)
    slow, mid, fast = (probe(HERE, model, decode=d) for d in (10.0, 20.0, 21.0))
    found = calibrate([slow, mid, fast])
    assert predicted(mid, mid.result.speeds[0], found).decode_tps.mid == pytest.approx(20, rel=0.02)
    assert found.missed > 0.2


def truth(measured: Measured, calibration: Calibration, **changes) -> Measured:
    """A probe of the same model as a machine with these costs would have measured it."""
    (point,) = measured.result.speeds
    tps = predicted(measured, point, calibration).decode_tps.mid
    return probe(measured.result.rig, measured.model, decode=tps, depth=point.depth, **changes)


def test_two_models_of_different_shape_tell_bytes_from_blocks():
    slow = Calibration(host_bandwidth_gbs=9.0, host_latency_factor=6.0, source="machine")
    shapes = [
        {**BIG, "hidden_size": width, "num_hidden_layers": layers}
        for width, layers in ((128, 128), (2048, 8), (512, 96))
    ]
    many_blocks, few_blocks, other = (truth(probe(HERE, tiny.tiny(s)), slow) for s in shapes)
    (point,) = other.result.speeds

    def missed(*taught: Measured) -> float:
        return abs(predicted(other, point, calibrate(taught)).decode_tps.mid / point.decode_tps - 1)

    both = calibrate([few_blocks, many_blocks])
    assert both.host_bandwidth_gbs == pytest.approx(9, rel=0.1)
    assert both.host_latency_factor == pytest.approx(6, rel=0.25)
    assert missed(few_blocks, many_blocks) < 0.02 < missed(few_blocks)


def test_experts_in_ram_teach_about_ram_and_not_about_the_card():
    moe = {**tiny.MOE, "hidden_size": 2048, "num_hidden_layers": 24, "moe_intermediate_size": 1024}
    model, settings = tiny.tiny(moe), RunSettings(ctx=8192, n_cpu_moe="all")
    fields = {"settings": settings}
    slow_ram = Calibration(host_bandwidth_gbs=12.0, source="machine")
    found = calibrate([truth(probe(CARD, model, **fields), slow_ram, **fields)])
    nominal = ram_rate(CARD.host)
    assert nominal is not None
    assert found.host_bandwidth_gbs < 0.5 * nominal
    # The card did its small part as always: a run without RAM is hardly touched.
    assert found.bandwidth_factor == pytest.approx(1, abs=0.1)


def test_a_card_alone_says_nothing_about_ram():
    found = calibrate([probe(CARD, tiny.tiny(BIG), decode=300.0)])
    assert found.host_bandwidth_gbs is None
    assert found.bandwidth_factor != pytest.approx(1, abs=0.01)


def test_a_run_in_ram_alone_says_nothing_about_the_card():
    model, settings = tiny.tiny(BIG), RunSettings(ctx=8192, n_gpu_layers=0)
    found = calibrate([probe(CARD, model, decode=9.0, prefill=None, settings=settings)])
    assert found.host_bandwidth_gbs is not None
    on_card = probe(CARD, model)
    (point,) = on_card.result.speeds
    assert predicted(on_card, point, found) == predicted(on_card, point, Calibration())
    in_ram = probe(CARD, model, settings=settings)
    known = predicted(in_ram, point, found)
    assert known.calibrated_by
    assert known.decode_tps.mid == pytest.approx(9, rel=0.03)


@pytest.mark.parametrize(("taught", "near", "far"), [("Q4_K_M", "Q8_0", "IQ2_XXS"),
                                                     ("IQ2_XXS", "IQ3_XXS", "Q8_0")])  # fmt: skip
def test_few_bits_are_told_by_few_bits_alone(taught, near, far):
    found = calibrate([probe(HERE, named_model("Qwen/Qwen3-0.6B", taught))])
    alike, other = (
        predicted(asked, asked.result.speeds[0], found).decode_tps
        for asked in (probe(HERE, named_model("Qwen/Qwen3-1.7B", t)) for t in (near, far))
    )
    assert alike.high / alike.mid < 1.35
    assert other.high / other.mid > 1.2 * alike.high / alike.mid


def test_one_probe_tells_less_where_memory_cores_and_launches_all_limit():
    """An H200's own rows: calibrated by one of its models the others are off twice as far."""
    h100 = parse_rig("H100 SXM + 256 GB").model_copy(update={"imagined": False})
    model = tiny.tiny(BIG)
    on_h100, on_4090 = (calibrate([probe(rig, model)]) for rig in (h100, CARD))
    assert on_h100.spread > 1.8 * on_4090.spread
    assert on_h100.prefill_spread > on_4090.prefill_spread
    assert on_h100.host_spread == on_4090.host_spread


def test_what_the_driver_takes_is_kept():
    place = PlaceResult(
        name="CUDA0",
        title="RTX 4090",
        capacity=24 << 30,
        before=0,
        peak=1 << 30,
        planned=1 << 30,
        lowest_free=None,
        components=(Component(name="driver", planned=None, engine=520 << 20),),
    )
    found = calibrate([probe(CARD, tiny.tiny(BIG), places=(place,))])
    assert found.driver_bytes == (520 << 20,)


def test_only_finished_probes_of_this_machine_count():
    model = tiny.tiny(BIG)
    good = probe(HERE, model).result
    failed = good.model_copy(update={"ending": Ending(state="failed", sentence="")})
    other = probe(CARD, model).result
    assert usable(HERE, [failed, other, good]) == [good]
    few = good.speeds[0].model_copy(update={"n_decode": 4})
    assert not usable(HERE, [good.model_copy(update={"speeds": (few,)})])
    assert not same_machine(HERE, HERE.model_copy(update={"imagined": True}))
    assert calibrate([]) is None
    assert learn(HERE, []) is None


def seen(result, kind):
    told = Observation(kind=kind, at_ms=0, sentence="It happened.")
    return result.model_copy(update={"id": f"{result.id}-{kind}", "observations": (told,)})


def test_what_spoilt_a_probe_teaches_nothing_and_what_held_it_back_little():
    model = tiny.tiny(BIG)
    good = probe(HERE, model).result
    assert not usable(HERE, [seen(good, kind) for kind in ("swap", "spill", "lost", "asleep")])
    slow = [seen(good, kind) for kind in ("busy", "throttled", "other-program")]
    assert usable(HERE, [*slow, good]) == [good]
    assert usable(HERE, slow) == slow
    for harmless in ("power-limited", "noise", "changed-settings"):
        assert len(usable(HERE, [seen(good, harmless), good])) == 2
    found = calibrate([Measured(model, slow[0])])
    wide, narrow = (
        predicted(probe(HERE, model), good.speeds[0], known).decode_tps
        for known in (found, calibrate([Measured(model, good)]))
    )
    assert wide.high / wide.mid > 1.4 > narrow.high / narrow.mid
    assert "the range stays wide" in found.source


def test_kept_probes_of_this_machine_teach_a_new_session():
    model = tiny.tiny(BIG)
    good = probe(HERE, model).result
    newest = good.model_copy(
        update={"id": "20261125T120000-b", "created": datetime(2026, 11, 25, tzinfo=UTC)}
    )
    other = good.model_copy(update={"id": "20261126T120000-c", "rig": CARD})
    for result in (good, newest, seen(good, "busy"), other):
        store.save(result)
    (store.folder() / "20261126T130000-d.json").write_text("{")
    assert teaching(HERE) == (newest, good)
    assert teaching(HERE.model_copy(update={"imagined": True})) == ()


def test_a_model_that_is_gone_teaches_nothing():
    gone = probe(HERE, tiny.tiny(BIG), model_id="no/such-model").result
    found = learn(HERE, [gone])
    assert found is None or found.is_identity


@pytest.mark.parametrize("rig", [HERE, CARD], ids=["cpu", "gpu"])
def test_a_range_holds_what_the_newest_probe_measured(rig):
    model = tiny.tiny(BIG)
    one = probe(rig, model).result.speeds[0]
    odd = zip((512, 2048, 6000), (20.0, 31.0, 12.0), (200.0, 900.0, 60.0), strict=True)
    points = tuple(
        one.model_copy(update={"depth": depth, "decode_tps": decode, "prefill_tps": prefill})
        for depth, decode, prefill in odd
    )
    measured = probe(rig, model, speeds=points)
    found = calibrate([measured])
    for point in points:
        for span, value in (
            (served_tps(predicted(measured, point, found)), point.decode_tps),
            (predicted(measured, point, found, reading=True).prefill_tps, point.prefill_tps),
        ):
            assert span.low * 0.999 <= value <= span.high * 1.001


def test_a_prompt_of_ours_begins_where_the_context_is_empty_and_llama_benchs_behind_it():
    deep = probe(CARD, tiny.tiny(BIG), depth=60_000)
    (point,) = deep.result.speeds
    bench = probe(CARD, deep.model, depth=60_000, method="llama-bench")
    ours, theirs = (
        predicted(measured, point, Calibration(), reading=True).prefill_tps.mid
        for measured in (deep, bench)
    )
    assert ours > 1.2 * theirs


def test_a_probe_says_less_of_another_models_prompts_than_of_its_decoding():
    dense, experts = tiny.tiny(BIG), tiny.tiny({**tiny.MOE, "hidden_size": 2048})
    measured = probe(CARD, dense)
    before = predicted(measured, measured.result.speeds[0], Calibration())
    ran = probe(
        CARD, dense, decode=before.decode_tps.mid * 0.9, prefill=before.prefill_tps.mid * 0.8
    )
    found = calibrate([ran])
    other = probe(CARD, experts)
    plain, known = (predicted(other, other.result.speeds[0], how) for how in (Calibration(), found))

    def width(span):
        return math.log(span.high / span.low)

    assert width(known.decode_tps) < width(plain.decode_tps)
    assert width(known.decode_tps) < width(known.prefill_tps) < width(plain.prefill_tps)
    assert known.decode_tps.mid == pytest.approx(0.9 * plain.decode_tps.mid, rel=0.05)
    # Launches, a part of so small a model's time, are not what the probe made slower.
    assert 0.75 < known.prefill_tps.mid / plain.prefill_tps.mid < 0.95


def test_the_build_is_in_what_a_probe_measured():
    measured = probe(CARD, tiny.tiny(BIG))
    found, point = calibrate([measured]), measured.result.speeds[0]
    old = measured.result.settings.model_copy(update={"built": "2024-05"})
    asked = probe(CARD, measured.model, settings=old)
    assert predicted(asked, point, Calibration()) != predicted(measured, point, Calibration())
    assert predicted(asked, point, found) == predicted(measured, point, found)


def test_the_command_line_answers_as_the_machine_was_measured(monkeypatch, capsys):
    named = {"id": "20261123T120000-cli", "model_id": "Qwen/Qwen3-0.6B"}
    store.save(probe(HERE, tiny.tiny(BIG), decode=31.0, **named).result)
    monkeypatch.setattr(request, "resolve_rig", lambda _spec: HERE)
    asked = {"model": "Qwen3 1.7B", "file_type": "Q8_0", "rig": "this", "ctx": 4096}
    plain = Sizer(calibrated=False).answer(asked)
    assert plain["decode_tps"] is None
    assert "calibrated_by" not in plain
    found = Sizer().answer(asked)
    assert found["decode_tps"] is not None
    assert found["calibrated_by"] == "probe of Tiny qwen3 Q8_0, 2026-11-23"
    # Of a machine that is not here nothing was measured.
    monkeypatch.setattr(request, "resolve_rig", lambda _spec: CARD)
    assert "calibrated_by" not in Sizer().answer(asked)
    show(Sizer().plan(asked))
    assert "calibrated" not in capsys.readouterr().out
    monkeypatch.setattr(request, "resolve_rig", lambda _spec: HERE)
    plan = Sizer().plan(asked)
    assert "Calibrated by the probe of Tiny qwen3" in plan.explanations["speed.decode"].notes[1]
    show(plan)
    out = capsys.readouterr().out
    assert "), calibrated\n" in out
    assert "calibrated: by the probe of Tiny" in out


def test_a_ghosts_prompt_with_experts_in_ram_says_nothing_of_the_card():
    """Its routers know no favourites, so more is copied than a text would choose."""
    model = tiny.tiny({**tiny.MOE, "hidden_size": 2048, "moe_intermediate_size": 768})
    settings = RunSettings(ctx=8192, n_cpu_moe="all")
    by = {
        ghost: calibrate([probe(CARD, model, prefill=50.0, settings=settings, ghost=ghost)])
        for ghost in (True, False)
    }
    assert by[True].prefill_factor == 1.0
    assert by[False].prefill_factor < 0.5
