"""Every way out is one: the run after the change fits."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice.instead import instead
from advisor.advice.usage import Usage
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Process, Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing.plan import Plan
from advisor.sizing.sampling import served_tps
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_bounds import too_large
from advisor.sizing.ways_out import GREEN, IN_RAM, OTHER_MODEL, Change, Instead, Offer
from advisor.sizing.why_not import WhyNot, why_not

SOME = ("F16", "Q8_0", "MXFP4_MOE", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ3_M", "Q2_K")
"""File types enough to choose from: with all of them most time goes to those that do not fit."""


@functools.cache
def models(name: str) -> dict[str, Model]:
    entry = catalogue().find(name)
    return {kind: entry.model(kind) for kind in SOME if kind in entry.file_types}


def ask(name: str, file_type: str, rig: Rig | str, **settings: object) -> WhyNot:
    machine = parse_rig(rig) if isinstance(rig, str) else rig
    return why_not(models(name), file_type, machine, RunSettings.model_validate(settings))


def missing(name: str, file_type: str, rig: str) -> str:
    """What is missing, which needs no other file types to choose from."""
    alone = {file_type: catalogue().find(name).model(file_type)}
    return why_not(alone, file_type, parse_rig(rig), RunSettings(ctx=32768)).missing


@pytest.mark.parametrize(
    ("name", "file_type", "rig", "ctx"),
    [
        ("Qwen/Qwen3-32B", "Q6_K", "RTX 4090 + 64 GB DDR5-6000", 32768),
        ("Qwen/Qwen3-30B-A3B", "Q6_K", "RTX 4090 + 64 GB DDR5-6000", 40960),
        ("openai/gpt-oss-120b", "MXFP4_MOE", "2x RTX 3090 + 128 GB DDR4-3200", 32768),
        ("google/gemma-3-27b-it", "Q4_K_M", "RTX 3090 + 32 GB DDR4-3200", 131072),
    ],
)
def test_ways_out_work_and_are_ordered(name: str, file_type: str, rig: str, ctx: int) -> None:
    found = ask(name, file_type, rig, ctx=ctx)

    assert "lacks" in found.missing
    assert 1 <= len(found.changes) <= 3
    assert [c.size for c in found.changes] == sorted(c.size for c in found.changes)
    assert len({c.kind for c in found.changes}) == len(found.changes)
    for change in found.changes:
        assert change.plan.fits
        assert change.plan.verdict in ({"offload"} if change.kind in IN_RAM else {"fits", "tight"})
        assert change.cost


def test_a_smaller_cache_makes_room_for_a_file_that_loses_less() -> None:
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    card = rig.devices[0].model_copy(update={"memory_used": 3 << 30})
    busy = rig.model_copy(update={"devices": (card,)})

    found = ask("Qwen/Qwen3-32B", "Q6_K", busy, ctx=32768)

    (both,) = [change for change in found.changes if change.kind == "both"]
    assert "file_type" not in {change.kind for change in found.changes}
    plain = RunSettings(ctx=32768)
    assert size(models("Qwen/Qwen3-32B")[both.file_type], busy, plain).fits is False


def test_what_fits_needs_no_way_out() -> None:
    assert ask("Qwen/Qwen3-8B", "Q4_K_M", "RTX 4090 + 64 GB", ctx=8192) == WhyNot("", ())


@pytest.mark.parametrize(
    ("name", "file_type", "rig", "least", "taken"),
    [
        ("Qwen/Qwen3-32B", "Q6_K", "RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000", 30.0, "Q4_K_M"),
        ("google/gemma-3-27b-it", "Q8_0", "RTX 3060 12GB + RTX 5090 + 64 GB", 57.0, "Q5_K_M"),
    ],
)
def test_on_unlike_cards_a_smaller_file_is_split_by_speed(
    name: str, file_type: str, rig: str, least: float, taken: str
) -> None:
    machine, asked = parse_rig(rig), RunSettings(ctx=16384)
    found = why_not(models(name), file_type, machine, asked, least_tps=least)
    (way,) = (change for change in found.changes if change.kind == "file_type")

    assert (way.file_type, "-ts" in way.title) == (taken, True)
    plan = size(models(name)[taken], machine, asked.model_copy(update=dict(way.fields)))
    plain = size(models(name)[taken], machine, asked)
    assert plan.speed.decode_tps is not None
    assert plain.speed.decode_tps is not None
    assert plan.speed.decode_tps.mid >= least > plain.speed.decode_tps.mid
    # Made with the fields of the change the run is its plan: nothing of it is in RAM.
    assert plan.verdict == way.plan.verdict == "fits"


def test_too_slow_is_what_llama_server_writes_too_slowly() -> None:
    rig = parse_rig("RTX 5090 + 64 GB DDR5-6000")
    kinds = {"MXFP4_MOE": catalogue().find("openai/gpt-oss-20b").model("MXFP4_MOE")}
    asked = RunSettings(ctx=8192)
    speed = size(kinds["MXFP4_MOE"], rig, asked).speed
    written = served_tps(speed)
    assert written is not None
    assert speed.decode_tps is not None
    wish = (written.mid + speed.decode_tps.mid) / 2
    found = why_not(kinds, "MXFP4_MOE", rig, asked, least_tps=wish)
    assert found.missing == (
        f"It would write {written.mid:.0f} tok/s in llama-server; you want {wish:.0f} tok/s."
    )
    assert not why_not(kinds, "MXFP4_MOE", rig, asked, least_tps=written.mid * 0.999).missing


def test_no_card_is_bought_that_stays_idle() -> None:
    rig, asked = parse_rig("RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000"), RunSettings(ctx=16384)
    found = why_not(models("Qwen/Qwen3-32B"), "Q4_K_M", rig, asked, least_tps=30.0)

    # The first card alone does it; so it does beside another 3060.
    assert [change.kind for change in found.changes] == ["split", "file_type"]


@pytest.mark.parametrize(("least", "says"), [(5.0, ""), (60.0, "It would decode")])
def test_a_part_in_ram_that_was_asked_for_lacks_speed_alone(least: float, says: str) -> None:
    kinds = models("Qwen/Qwen3-30B-A3B")
    rig = parse_rig("RTX 3060 12GB + 64 GB DDR5-6000")
    found = why_not(kinds, "Q4_K_M", rig, RunSettings(ctx=8192, n_cpu_moe=30), least_tps=least)

    assert found.missing.startswith(says)
    assert bool(found.missing) == bool(says)


def test_one_more_card_beside_one_that_is_full_counts_as_another() -> None:
    """The run lay on the new card alone, which was taken for the full one of its name."""
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    busy = rig.devices[0].model_copy(update={"memory_used": 20 << 30})
    full = rig.model_copy(update={"devices": (busy,)})

    found = ask("Qwen/Qwen3-14B", "Q4_K_M", full, ctx=32768, n_gpu_layers="fit")

    bought = next(change for change in found.changes if change.kind == "gpu")
    assert bought.title.startswith("Add another RTX 4090")


def test_closing_programs_comes_first() -> None:
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    busy = rig.devices[0].model_copy(
        update={"memory_used": 9 << 30, "processes": (Process(pid=1, name="game"),)}
    )

    found = ask(
        "Qwen/Qwen3-30B-A3B", "Q4_K_M", rig.model_copy(update={"devices": (busy,)}), ctx=16384
    )

    assert found.changes[0].kind == "programs"
    assert "game" in found.changes[0].title


@dataclass(frozen=True)
class Less:
    """A change that takes a little less away."""

    model: Model
    rig: Rig
    fields: Mapping[str, object]


def one_step_less(
    change: Change, kinds: Mapping[str, Model], asked: str, rig: Rig
) -> Iterator[Less]:
    """The same kind of change, one step smaller: none of them may be enough."""
    model = kinds[change.file_type]
    if change.kind in {"file_type", "both", "smaller_in_ram"}:
        between = [m for m in kinds.values() if model.nbytes < m.nbytes < kinds[asked].nbytes]
        if between:
            yield Less(min(between, key=lambda m: m.nbytes), change.rig, change.fields)
    if change.kind == "context":
        yield Less(model, rig, {**change.fields, "ctx": change.plan.settings.ctx + 2048})
    if change.kind == "gpu":
        fewer = change.rig.devices[:-1]
        yield Less(model, rig.model_copy(update={"devices": fewer}), change.fields)
    if change.kind == "slots":
        yield Less(model, rig, {"parallel": change.plan.settings.parallel + 1})
    if change.kind == "programs" and " more" not in change.title:
        running = [(n, p) for n, device in enumerate(rig.devices) for p in device.processes]
        for number, process in running:
            if process.name in change.title and process.memory:
                devices = [*change.rig.devices]
                used = (devices[number].memory_used or 0) + process.memory
                devices[number] = devices[number].model_copy(update={"memory_used": used})
                less = rig.model_copy(update={"devices": tuple(devices)})
                yield Less(model, less, change.fields)
    if change.kind == "ram":
        taken = change.plan.settings
        if taken.n_gpu_layers == "all":
            less = {"n_gpu_layers": "all", "n_cpu_moe": taken.n_cpu_moe - 1}
        else:
            less = {"n_gpu_layers": taken.n_gpu_layers + 1, "n_cpu_moe": 0}
        yield Less(model, rig, less)


CASES = (
    # kind of cell, model, file type, rig, settings, wanted speed, ways that have to be among them
    ("MoE beyond RAM", "zai-org/GLM-4.5-Air", "Q4_K_M",
     "RTX 4090 + 36 GB DDR5-6000", {}, None, {"smaller_in_ram", "more_ram"}),
    ("no GPU, RAM too small", "meta-llama/Llama-3.3-70B-Instruct", "Q8_0",
     "CPU only 64 GB DDR5-5600", {}, None, {"file_type", "more_ram"}),
    ("no GPU, too slow", "Qwen/Qwen3-8B", "Q8_0",
     "CPU only 64 GB DDR5-5600", {}, 30.0, {"card"}),
    ("context too long", "Qwen/Qwen3-32B", "Q4_K_M",
     "RTX 4090 + 64 GB DDR5-6000", {"ctx": 131072}, None, {"context", "ram"}),
    ("unified", "Qwen/Qwen3-235B-A22B", "Q8_0", "M3 Ultra 256GB", {}, None, {"file_type"}),
    ("two cards too slow", "meta-llama/Llama-3.3-70B-Instruct", "Q4_K_M",
     "2x RTX 4090 + 128 GB DDR5-6000", {"ctx": 8192}, 24.0, {"tensor"}),
)  # fmt: skip


def with_a_3060(rig: Rig) -> Rig:
    devices = (*rig.devices, *parse_rig("RTX 3060 12GB").devices)
    return rig.model_copy(update={"devices": devices})


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_every_kind_of_cell_gets_its_ways_out(case) -> None:
    _what, name, file_type, rig, settings_, least, wanted = case
    asked = RunSettings.model_validate({"ctx": 16384, **settings_})
    kinds, machine = models(name), parse_rig(rig)
    cards = Instead(cards=lambda: [Offer("Add an RTX 3060", "280 USD", with_a_3060(machine))])
    told: list[WhyNot] = []
    found = why_not(
        kinds, file_type, machine, asked, least_tps=least, instead=cards, so_far=told.append
    )

    counts = [len(earlier.changes) for earlier in told]
    assert counts == sorted(counts)
    assert told[-1] == found
    assert wanted <= {change.kind for change in found.changes}
    assert found.missing
    for change in found.changes:
        assert change.cost
        assert "broken" not in change.cost
        for less in one_step_less(change, kinds, file_type, machine):
            plan = size(less.model, less.rig, asked.model_copy(update=dict(less.fields)))
            if change.kind in IN_RAM:  # The solver leaves the margin free.
                enough = plan.fits and plan.headroom >= asked.margin
            else:
                enough = plan.verdict in {"fits", "tight"}
            slow = least is not None and plan.speed.decode_tps.mid < least
            assert not enough or slow, (change.title, less.fields)
        if least is not None:
            assert change.plan.speed.decode_tps.mid >= least


def test_what_many_cards_lack_is_one_sum() -> None:
    told = missing("Qwen/Qwen3-235B-A22B", "Q8_0", "8x RTX 3090 + 256 GB DDR4-3200")
    assert told.startswith("8 of 8 cards lack")


def test_memory_that_is_shared_is_missed_once() -> None:
    told = missing("Qwen/Qwen3.5-397B-A17B", "Q4_K_M", "Strix Halo 128GB")
    assert "lacks" in told
    assert "RAM lacks" not in told


def test_a_long_context_is_cut_less_with_a_smaller_cache() -> None:
    found = ask("Qwen/Qwen3-32B", "Q4_K_M", "RTX 4090 + 64 GB DDR5-6000", ctx=131072)
    (shorter,) = [change for change in found.changes if change.kind == "context"]
    assert shorter.fields["ctk"] == "q8_0"
    assert "q8_0" in shorter.title
    plain = size(
        models("Qwen/Qwen3-32B")["Q4_K_M"],
        parse_rig("RTX 4090 + 64 GB DDR5-6000"),
        RunSettings(ctx=131072),
    )
    assert shorter.plan.settings.ctx > 1.5 * plain.max_ctx


def test_nobody_waits_for_a_cell_that_is_left() -> None:
    rig, asked = parse_rig("RTX 4090 + 64 GB DDR5-6000"), RunSettings(ctx=32768)
    kinds = {kind: catalogue().find("Qwen/Qwen3-32B").model(kind) for kind in ("Q6_K", "Q4_K_M")}
    told = why_not(kinds, "Q6_K", rig, asked, cancelled=lambda: True)
    assert told.missing
    assert not told.changes


def test_without_a_way_out_nothing_is_promised() -> None:
    found = ask("deepseek-ai/DeepSeek-R1", "Q8_0", "RTX 3060 12GB + 16 GB", ctx=32768)

    assert found.missing
    assert not found.changes


RIGS = (
    "RTX 4090 + 64 GB DDR5-6000",
    "2x RTX 3090 + 64 GB DDR4-3200",
    "RTX 5090 + RTX 3060 12GB + 96 GB DDR5-6000",
    "RX 7900 XTX + 32 GB DDR5-6000",
    "Arc B580 + 32 GB DDR5-6000",
    "RTX 4060 Laptop 8GB + 32 GB DDR5-5600",
    "M4 Pro 48GB",
    "Strix Halo 128GB",
    "CPU only 32 GB DDR5-5600",
    "4x RTX 3090 + RTX 4090 + 128 GB DDR4-3200",
)
NAMES = (
    "Qwen/Qwen3-32B",
    "Qwen/Qwen3-30B-A3B",
    "google/gemma-3-27b-it",
    "Qwen/Qwen3-235B-A22B",
    "meta-llama/Llama-3.3-70B-Instruct",
)
HELD = st.lists(st.tuples(st.sampled_from(("game", "browser", "ollama")), st.integers(1, 12)))


def busy(rig: Rig, held: list[tuple[str, int]]) -> Rig:
    """Programs of so many GiB on each card in turn, as far as it holds them."""
    devices = list(rig.devices)
    for number, (name, gib) in enumerate(held if devices else ()):
        card = devices[number % len(devices)]
        process = Process(pid=number, name=f"{name}{number}", memory=gib << 30)
        used = (card.memory_used or 0) + (gib << 30)
        if used <= (card.memory_total or 0):
            update = {"memory_used": used, "processes": (*card.processes, process)}
            devices[number % len(devices)] = card.model_copy(update=update)
    return rig.model_copy(update={"devices": tuple(devices)})


def check_ways_out(
    name: str, file_type: str, machine: Rig, asked: RunSettings, least: float | None
) -> WhyNot | None:
    """Every change turns the cell green when it is made, and one step less of it does not."""
    kinds = models(name)
    now = size(kinds[file_type], machine, asked)
    slow = least is not None and (now.speed.decode_tps is None or now.speed.decode_tps.mid < least)
    if now.verdict == "fits" and not slow:
        return None
    more = instead(machine, kinds[file_type], asked, Usage(), date(2026, 11, 26))
    found = why_not(kinds, file_type, machine, asked, least_tps=least, instead=more)

    assert len({change.kind for change in found.changes}) == len(found.changes)
    assert [c.size for c in found.changes] == sorted(c.size for c in found.changes)
    for change in found.changes:
        assert change.cost
        model = kinds.get(change.file_type)
        if change.kind in OTHER_MODEL:
            model = catalogue().find(change.plan.model_id).model(change.file_type)
        assert model is not None
        # Made again from what it says to do, and from nothing else.
        settled = asked.model_copy(update=dict(change.fields))
        assert is_enough(size(model, change.rig, settled), change, now, asked, least)
        for less in one_step_less(change, kinds, file_type, machine):
            fields = asked.model_copy(update=dict(less.fields))
            plan = size(less.model, less.rig, fields)
            # The solver leaves the margin free.
            short = change.kind in IN_RAM and (plan.headroom or 0) < asked.margin
            assert short or not is_enough(plan, change, now, asked, least), change.title
    return found


def is_enough(
    plan: Plan, change: Change, now: Plan, asked: RunSettings, least: float | None
) -> bool:
    good = {"fits"} if now.verdict == "tight" or change.kind in {"card", "machine"} else GREEN
    if change.kind in IN_RAM:
        good = {*(good if change.kind == "more_ram" else ()), "offload"}
    known = plan.speed.decode_tps
    return plan.verdict in good and (least is None or (known is not None and known.mid >= least))


# The same cells every time: 300 random ones held all of it.
@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    st.sampled_from(NAMES),
    st.sampled_from(("Q4_K_M", "Q6_K", "Q8_0")),
    st.sampled_from(RIGS),
    HELD,
    st.sampled_from((8192, 32768, 131072)),
    st.sampled_from((1, 1, 4)),
    st.sampled_from((None, 12.0, 40.0)),
)
def test_every_change_turns_the_cell_green_and_is_the_smallest_of_its_kind(  # noqa: PLR0917
    name: str,
    file_type: str,
    rig: str,
    held: list[tuple[str, int]],
    ctx: int,
    parallel: int,
    least: float | None,
) -> None:
    asked = RunSettings(ctx=ctx, parallel=parallel)
    check_ways_out(name, file_type, busy(parse_rig(rig), held), asked, least)


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({"ctk": "q8_0"}, {"ctv": "q8_0"}),
        ({"ctv": "q4_0"}, {"ctk": "q8_0"}),
        ({"ctk": "f32", "ctv": "f32", "ctx": 24576}, {"ctk": "q8_0", "ctv": "q8_0"}),
        ({"ctk": "q8_0", "ctv": "q8_0", "ctx": 65536}, None),
    ],
)
def test_of_a_cache_the_wide_half_is_made_smaller(
    asked: dict[str, object], changed: dict[str, object] | None
) -> None:
    found = ask("Qwen/Qwen3-8B", "Q4_K_M", "Card 9GB 400 GB/s + 32 GB", **{"ctx": 40960, **asked})
    fields = [change.fields for change in found.changes if change.kind == "kv"]
    assert fields == ([] if changed is None else [{**changed, "flash_attn": "on"}])


def test_layers_that_stay_in_the_file_rule_no_card_out() -> None:
    model = catalogue().find("zai-org/GLM-4.5-Air").model("Q4_K_M")
    (device,) = parse_rig("RTX PRO 6000 + 64 GB").devices
    plan = size(model, parse_rig("RTX PRO 6000 + 64 GB"), RunSettings(ctx=4096), longest=False)
    held, file = plan.devices[0].weights, model.nbytes
    looked_up = next(t.nbytes for t in model.tensors if t.name == "token_embd.weight")
    assert held < file - looked_up - (1 << 30)
    driver = plan.devices[0].driver or 0
    just = device.model_copy(update={"memory_total": held + driver, "memory_used": 0})
    assert not too_large(model, [just], 0, 0)
    less = device.model_copy(update={"memory_total": held - (1 << 30), "memory_used": 0})
    assert too_large(model, [less], 0, 0)
