"""What the window asks of the rooms below, as plain functions for ``run_task``. No Qt in here."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from advisor import answers
from advisor.advice import capability, hardware_prices, picks
from advisor.advice.closer import Closer
from advisor.advice.wish import Wish
from advisor.basis import Basis, Explanation, Range
from advisor.engine import command
from advisor.engine.machine import read_machine, with_engine
from advisor.engine.told import told
from advisor.errors import SettingsError, UnknownModel
from advisor.hardware import corrections, doctor, edits, network, report, saved
from advisor.hardware.bandwidth import RamBandwidth, measure_ram_bandwidth
from advisor.hardware.compose import parse_rig
from advisor.hardware.finding import Finding
from advisor.hardware.rig import Device, Rig
from advisor.hardware.shared_memory import with_ram_bandwidth
from advisor.hardware.table import gpu_table
from advisor.llm import published, quality
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.llm.intelligence import standing
from advisor.llm.model import Model
from advisor.probe.calibrate import learn
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice
from advisor.sizing import build_dates, size
from advisor.sizing.between import explain_traffic
from advisor.sizing.card_order import better_cards
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.sizing.slots import slot_changes, slot_sentences

RigMaker = Callable[[], Rig]
Probes = tuple[ProbeResult, ...]
MEASURED: Final = Basis.MEASURED
DEPTHS: Final = 8
"""Steps of the speed-by-depth curve."""


def changed_settings(settings: RunSettings, changes: Mapping[str, Any]) -> RunSettings:
    """The settings with some fields changed. Raises SettingsError with a sentence."""
    try:
        return RunSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=True)[0]
        said = str(problem["msg"])
        if said.startswith("Value error, "):
            raise SettingsError(said.removeprefix("Value error, "), detail=str(error)) from error
        name = str(problem["loc"][0]) if problem["loc"] else "The settings"
        message = f"{name} cannot be {problem['input']!r}: {said.lower()}."
        raise SettingsError(message, detail=str(error)) from error


def without_companions(settings: RunSettings) -> RunSettings:
    """Settings for another model: no projector, draft model or tensors placed by name."""
    drafts = {"model_draft": "", "spec_type": "none"} if settings.model_draft else {}
    alone = {"mmproj": "", "override_tensor": (), **drafts}
    return settings.model_copy(update=alone)


def own_projector(choice: ModelChoice) -> str:
    """The name that stands for the projector of a catalogue model; empty where none is known."""
    if _is_file(choice.model):
        return ""
    try:
        entry = catalogue().find(choice.model)
    except UnknownModel:
        return ""
    return entry.id if entry.vision is not None else ""


def short_name(model: str) -> str:
    """A file's name, or the end of a catalogue id."""
    return Path(model).name if _is_file(model) else model.rpartition("/")[2]


def name_of(model: str) -> str:
    """What the catalogue calls a model, which is read once; a file has its own name."""
    if _is_file(model):
        return short_name(model)
    try:
        return catalogue().find(model).name
    except UnknownModel:
        return short_name(model)


def _is_file(model: str) -> bool:
    return model.lower().endswith(".gguf") or Path(model).is_absolute()


def plan(
    choice: ModelChoice,
    known: Model | None,
    rig: Rig,
    settings: RunSettings,
    probes: Probes,
) -> tuple[Model, Plan]:
    """The model and its plan on a rig; ``known`` is used again when it is the one chosen.

    Finished probes of this very machine calibrate the plan.
    """
    model = known if known is not None else answers.load_model(choice)
    return model, answers.plan_of(model, rig, settings, learn(rig, probes))


def detect() -> Rig:
    """This machine."""
    return read_machine()


def engine_of(rig: Rig) -> str:
    """Which llama.cpp this machine would run; asks every program that is found."""
    return with_engine(rig).llama_cpp or ""


def in_full(settings: RunSettings, rig: Rig | None) -> RunSettings:
    """The settings with the llama.cpp that would run them on a rig, where they tell none."""
    return settings if rig is None else told(settings, rig)


ANY_BUILD: Final = build_dates.ANY


def build_words(settings: RunSettings) -> str:
    """Which llama.cpp the settings tell, as ``"2026-08 (b10549)"``; empty where its age is not."""
    return build_dates.words(settings.built)


def read_catalogue() -> tuple[CatalogueEntry, ...]:
    """Every model with its parameters counted: up to a second the first time, then kept."""
    search_models("")
    return catalogue().entries


def search_models(wanted: str) -> list[CatalogueEntry]:
    """Catalogue models that have every word of ``wanted``, all for none; the ablest first.

    Alike ones that write no answers come last.
    """
    return catalogue().search(wanted, _behind)


_ABILITY: dict[tuple[str, int], float] = {}


def _behind(entry: CatalogueEntry) -> float:
    key = (entry.id, entry.n_params)
    if key not in _ABILITY:
        # No index says how good vectors and scores are.
        _ABILITY[key] = (0 if entry.chats else 100) - standing(entry).index
    return _ABILITY[key]


def nearest_models(wanted: str) -> list[CatalogueEntry]:
    """Catalogue models that a name without any match may have meant."""
    return catalogue().nearest(wanted)


def files_of_publisher(wanted: str) -> tuple[CatalogueEntry, str] | None:
    """The model and the repository that a typed name means, where those files are their own."""
    if "gguf" not in wanted.lower() and ":" not in wanted:
        return None  # Looking for a name that nobody has takes long.
    try:
        entry = catalogue().find(wanted)
    except UnknownModel:
        return None
    place = published.repository_of(entry, wanted)
    return (entry, place) if place else None


def unsupported_model(wanted: str, *, begun: bool) -> tuple[str, list[CatalogueEntry]] | None:
    """Why llama.cpp can't run the model that was typed, and what comes nearest; None: it may."""
    found = catalogue().beyond(wanted, begun=begun)
    if found is None:
        return None
    return found.sentence, [catalogue().find(name) for name in found.instead]


def calibrated_by(rig: Rig, probes: Probes) -> str:
    """Which probes of this machine calibrate the speeds of a list; empty: none does."""
    calibration = learn(rig, probes)
    return "" if calibration is None else calibration.source


def speed_by_depth(
    model: Model, rig: Rig, settings: RunSettings, probes: Probes
) -> list[tuple[int, Range]]:
    """Decode speed at some depths from empty to full; empty where it is not known."""
    calibration = learn(rig, probes)
    found: list[tuple[int, Range]] = []
    for step in range(DEPTHS + 1):
        # Closer together where the curve falls fastest.
        depth = (settings.ctx - 1) * step * step // (DEPTHS * DEPTHS)
        at = settings.model_copy(update={"depth": depth})
        speed = size(model, rig, at, calibration=calibration, longest=False).speed.decode_tps
        if speed is None:
            return []
        found.append((at.depth, speed))
    return found


@dataclass(frozen=True, slots=True)
class CardFindings:
    """What another order or other slots of the cards would change, and what passes between them."""

    sentences: tuple[str, ...]
    traffic: tuple[tuple[str, str], Explanation] | None


def card_findings(
    model: Model, rig: Rig, settings: RunSettings, probes: Probes, plan: Plan
) -> CardFindings:
    """Worked out beside the plan: every order is sized again."""
    calibration = learn(rig, probes)
    found = [*slot_sentences(slot_changes(model, rig, plan, calibration))]
    if len(rig.devices) > 1:
        found.insert(0, better_cards(model, rig, settings, plan, calibration))
    return CardFindings(
        sentences=tuple(filter(None, found)),
        traffic=explain_traffic(model, rig, plan),
    )


def run_text(plan: Plan, program: str) -> str:
    """How to run a plan in llama-server, Ollama or LM Studio."""
    if program == "Ollama":
        return command.ollama_text(plan)
    if program == "LM Studio":
        return command.lm_studio_text(plan)
    return shlex.join(plan.command)


def quality_sentences(model: Model, settings: RunSettings) -> list[str]:
    """What the file type and the KV type cost in quality, with the range where it is known."""
    found = [f"{model.file_type}: {quality.model_loss(model).sentence}"]
    if (settings.ctk, settings.ctv) != ("f16", "f16"):
        types = settings.ctk if settings.ctk == settings.ctv else f"{settings.ctk}/{settings.ctv}"
        note = quality.kv_loss(model, settings.ctk, settings.ctv)
        found.append(f"KV {types}: {note.sentence}")
    return found


def what_runs(
    rig: Rig,
    settings: RunSettings,
    probes: Probes,
    least_tps: float,
    *,
    cancelled: Callable[[], bool],
    arrived: Callable[[float, capability.Capability], None],
    looked: Callable[[capability.Capability], None],
) -> capability.Capability:
    """The whole catalogue on a rig, everything as llama.cpp does by default but the KV types.

    ``arrived`` is told the share of a first look that is done, and what runs so far, now and then;
    ``looked`` as in ``capability``.
    """

    def now_and_then(share: float, found: capability.Capability) -> None:
        if is_milestone(len(found.models)):
            arrived(share, found)

    return capability.capability(
        catalogue().entries,
        rig,
        Wish(ctx=settings.ctx, least_tps=least_tps),
        plain(settings),
        calibration=learn(rig, probes),
        cancelled=cancelled,
        arrived=now_and_then,
        looked=looked,
    )


def closer(rig: Rig, settings: RunSettings, probes: Probes, least_tps: float) -> Closer:
    """What plans the guesses of ``what_runs``."""
    wish = Wish(ctx=settings.ctx, least_tps=least_tps)
    return Closer(rig, wish, plain(settings), learn(rig, probes))


def plain(settings: RunSettings) -> RunSettings:
    """What lists take of the settings: everything else as llama.cpp does by default."""
    return RunSettings(ctx=settings.ctx, ctk=settings.ctk, ctv=settings.ctv, built=settings.built)


def best(
    rig: Rig,
    settings: RunSettings,
    probes: Probes,
    wish: Wish,
    cancelled: Callable[[], bool],
) -> Iterator[picks.Pick]:
    """The catalogue's models for a wish, one by one, the likeliest first."""
    return picks.picks(
        catalogue().entries,
        rig,
        wish,
        plain(settings),
        calibration=learn(rig, probes),
        cancelled=cancelled,
    )


def is_milestone(count: int) -> bool:
    """Whether a list that grows is worth showing again: soon at first, seldom later."""
    return count in {1, 5, 15} or (count > 0 and count % 40 == 0)


def compose(words: str) -> Rig:
    """A rig from text. Raises RigError with a sentence."""
    return parse_rig(words)


def with_added(rig: Rig, words: str) -> Rig:
    """The rig with more devices, other RAM or one more machine. Raises RigError."""
    return edits.add(rig, words)


def with_swapped(rig: Rig, index: int, words: str) -> Rig:
    """The rig with one device replaced. Raises RigError."""
    return edits.swap_device(rig, index, words)


def corrected(rig: Rig, index: int, memory: int | None, bandwidth_gbs: float | None) -> Rig:
    """The rig with a device's memory (bytes) and bandwidth as stated; kept for this machine.

    Raises RigError.
    """
    device = rig.devices[index]
    stated = corrections.Correction(memory_total=memory, bandwidth_gbs=bandwidth_gbs)
    if rig.imagined:
        return edits.edit_device(rig, index, corrections.corrected(device, stated))
    corrections.keep(device, stated)
    return rig.model_copy(update={"devices": corrections.applied(rig.devices)})


def forget_correction(device: Device) -> Rig:
    """This machine read again without what was stated about such a device. Raises RigError."""
    corrections.keep(device, None)
    return detect()


def gpu_names() -> tuple[str, ...]:
    """Every GPU that has a name here, as people call it."""
    return tuple(entry.short_name for entry in gpu_table().gpus)


def network_names() -> tuple[str, ...]:
    """Every kind of network that has a name here."""
    return tuple(kind.name for kind in network.networks())


def without_machine(rig: Rig, host: int) -> Rig:
    """The rig without one of its further machines. Raises RigError."""
    return edits.remove_machine(rig, host)


def without(rig: Rig, index: int) -> Rig:
    """The rig with one device fewer. Raises RigError."""
    return edits.remove_device(rig, index)


def save_rig(rig: Rig, path: Path) -> Path:
    """Write a rig to a file. Raises RigError."""
    saved.save_rig(rig, path)
    return path


def open_rig(path: Path) -> Rig:
    """Read a rig from a file. Raises RigError."""
    return saved.load_rig(path)


def with_bandwidth(rig: Rig, measured: RamBandwidth) -> Rig:
    """The rig with its host's measured memory bandwidth."""
    host = rig.host.with_read(measured.gbs, measured.source)
    return with_ram_bandwidth(rig.model_copy(update={"hosts": (host, *rig.hosts[1:])}))


def measure_ram(rig: Rig) -> RamBandwidth:
    """Read the host's memory for about a second with every core; the result is remembered."""
    return measure_ram_bandwidth(rig.host.cpu)


def prices_date() -> str:
    """The day of the shipped hardware prices."""
    return hardware_prices.data_date()


def examine(rig: Rig) -> tuple[Finding, ...]:
    """The doctor's findings, the gravest first."""
    return doctor.examine(rig)


def doctor_report(rig: Rig) -> str:
    """What was detected and from where, for a bug tracker; nothing personal is in it."""
    return report.report(rig)
