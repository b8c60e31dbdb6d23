"""The `size` contract: one JSON object in, a plan, one JSON object out."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from advisor.basis import Explanation
from advisor.engine.told import told
from advisor.errors import ModelError, RigAdvisorError, RigError, SettingsError
from advisor.files import is_file
from advisor.hardware.compose import rig_from_spec
from advisor.hardware.rig import Backend, Device, Rig
from advisor.llm.companions import with_companions
from advisor.llm.filetypes import is_own_mix, nearest
from advisor.llm.model import Model
from advisor.llm.open import load
from advisor.probe.calibrate import learn
from advisor.probe.kept import teaching
from advisor.probe.result import ProbeResult
from advisor.sizing import size
from advisor.sizing.between import explain_traffic
from advisor.sizing.bottleneck import by_place, decode_bottleneck, prefill_bottleneck
from advisor.sizing.calibration import Calibration
from advisor.sizing.card_order import better_cards
from advisor.sizing.plan import DevicePlan, Plan
from advisor.sizing.prompt_ways import as_sentence, prompt_ways
from advisor.sizing.sampling import served_tps
from advisor.sizing.settings import RunSettings
from advisor.sizing.slots import SlotChange, slot_changes, slot_sentences

_BACKENDS = ("cuda", "rocm", "vulkan", "metal", "sycl", "cpu")
_OWN = ("id", "model", "file_type", "imatrix", "file_bytes", "rig", "backend")
_REQUIRED = ("model", "rig", "ctx")


def resolve_rig(spec: Any) -> Rig:  # noqa: ANN401 - JSON, checked here
    """A rig from text, from JSON, from a saved file, or this machine. Raises RigError."""
    if isinstance(spec, str) and spec.strip().lower() == "this":
        # It asks drivers and programs: only when wanted.
        from advisor.engine.machine import read_machine, with_engine  # noqa: PLC0415

        return with_engine(read_machine())
    if isinstance(spec, str) and spec.lower().endswith(".json") and is_file(Path(spec)):
        from advisor.hardware.saved import load_rig  # noqa: PLC0415

        return load_rig(Path(spec))
    if isinstance(spec, str) and _names_a_file(spec):
        there = is_file(Path(spec))
        raise RigError(
            f"{spec} is no saved rig: those end in .json. “rig-advisor detect --json” writes one."
            if there
            else f"There is no file {spec}. Write a rig in words, or name a saved rig's file."
        )
    if isinstance(spec, str | dict):
        return rig_from_spec(spec)  # pyright: ignore[reportUnknownArgumentType] - JSON
    raise RigError("The rig must be text or a JSON object.")


def _names_a_file(spec: str) -> bool:
    """Whether a rig's text is a path: something is there, or it is written as paths are."""
    path = spec.strip()
    written = path.lower().endswith(".json") or path.startswith(("/", "./", "../", "~"))
    return written or ("." in path and is_file(Path(path)))


def with_backend(rig: Rig, backend: Any) -> Rig:  # noqa: ANN401 - JSON, checked here
    """The same rig driven by another backend; "cpu" computes without its accelerators."""
    if backend is None:
        return rig
    if isinstance(backend, str):
        backend = backend.strip().lower()
    if backend not in _BACKENDS:
        message = f"The backend must be one of {', '.join(_BACKENDS)}, not {backend!r}."
        raise SettingsError(message)
    if backend == "cpu":
        return rig.model_copy(update={"devices": ()})

    def driven(device: Device, by: Backend) -> Device:
        return device.model_copy(update={"backend": by})

    return rig.model_copy(update={"devices": tuple(driven(d, backend) for d in rig.devices)})


def probes_of(rig: Rig) -> tuple[ProbeResult, ...]:
    """Kept probes of this machine, where the rig is this machine: they calibrate what is said."""
    return () if rig.imagined else teaching(rig)


def first_problem(error: ValidationError) -> str:
    """The first thing wrong, as a sentence."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    said = first["msg"].removeprefix("Value error, ").removesuffix(".")
    said = said.replace("Input should be", "it must be").replace("a valid decimal", "a number")
    # What several fields say together has no place of its own.
    return f"{where}: {said}." if where else f"{said[:1].upper()}{said[1:]}."


@dataclass(frozen=True, slots=True)
class Findings:
    """What else is worth knowing of a plan's cards."""

    order: str
    """What another split or order of the cards would change; empty: nothing."""
    slots: tuple[SlotChange, ...]
    traffic: tuple[tuple[str, str], Explanation] | None
    prompts: tuple[str, ...]
    """What would read prompts faster."""

    @property
    def sentences(self) -> list[str]:
        """What a change of order, slots or options would do."""
        return [*filter(None, [self.order]), *slot_sentences(self.slots), *self.prompts]


class Sizer:
    """Answers requests; keeps models and rigs that come again.

    calibrated: what probes of this machine taught counts, where it is this machine that is asked.
    """

    def __init__(self, *, calibrated: bool = True) -> None:
        self._calibrated = calibrated
        self._calibrations: dict[str, Calibration | None] = {}
        self._models: dict[tuple[str, str | None, bool], Model] = {}
        self._accompanied: dict[tuple[int, str, str], Model] = {}
        self._rigs: dict[str, Rig] = {}

    def model(self, name: str, file_type: str | None, *, imatrix: bool) -> Model:
        """Load, or the one loaded before."""
        key = (name, file_type, imatrix)
        if key not in self._models:
            self._models[key] = load(name, file_type, imatrix=imatrix)
        return self._models[key]

    def accompanied(self, model: Model, settings: RunSettings) -> Model:
        """The model with the draft model and the projector that the settings name."""
        draft, mmproj = settings.model_draft, settings.mmproj
        if not draft and not mmproj:
            return model
        key = (id(model), draft, mmproj)
        if key not in self._accompanied:
            self._accompanied[key] = with_companions(model, draft=draft, mmproj=mmproj)
        return self._accompanied[key]

    def rig(self, spec: Any) -> Rig:  # noqa: ANN401 - JSON
        """Resolve, or the one resolved before."""
        key = repr(spec)
        if key not in self._rigs:
            self._rigs[key] = resolve_rig(spec)
        return self._rigs[key]

    def calibration(self, rig: Rig) -> Calibration | None:
        """What its probes teach about a rig; None where there are none, or none are to count."""
        if not self._calibrated or rig.imagined:
            return None
        key = repr(rig)
        if key not in self._calibrations:
            self._calibrations[key] = learn(rig, probes_of(rig))
        return self._calibrations[key]

    def plan(self, request: dict[str, Any]) -> Plan:
        """The plan for one request of the contract. Raises RigAdvisorError."""
        missing = [key for key in _REQUIRED if request.get(key) is None]
        if missing:
            raise SettingsError(f"Missing: {', '.join(missing)}.")
        known = RunSettings.model_fields
        wanted = {k: v for k, v in request.items() if k in known and v is not None}
        unknown = sorted(k for k in request if k not in known and k not in _OWN)
        try:
            settings = RunSettings.model_validate(wanted)
        except ValidationError as error:
            raise SettingsError(first_problem(error)) from error
        name, file_type = request["model"], request.get("file_type")
        if not isinstance(name, str) or not isinstance(file_type, str | None):
            raise ModelError("“model” and “file_type” must be text.")
        mix = None if file_type is None else nearest(file_type).name
        model = self.model(name, mix, imatrix=bool(request.get("imatrix")))
        model = self.accompanied(model, settings)
        rig = with_backend(self.rig(request["rig"]), request.get("backend"))
        if rig.llama_cpp is not None:  # of a rig in words any measured build may be meant
            settings = told(settings, rig)
        file_bytes = request.get("file_bytes")
        if isinstance(file_bytes, float) and math.isfinite(file_bytes):
            file_bytes = round(file_bytes)
        if not isinstance(file_bytes, int | None) or (file_bytes is not None and file_bytes <= 0):
            raise SettingsError("“file_bytes” must be a number of bytes.")
        calibration = self.calibration(rig)
        plan = size(
            model, rig, settings, calibration=calibration, file_bytes=file_bytes, finely=True
        )
        if unknown:
            ignored = f"Not understood and ignored: {', '.join(unknown)}."
            plan = plan.model_copy(update={"notes": (*plan.notes, ignored)})
        if mix is not None and file_type is not None and is_own_mix(file_type):
            own = f"“{file_type}” is a publisher's own mix: computed as {mix}."
            plan = plan.model_copy(update={"notes": (*plan.notes, own)})
        return plan

    def findings(self, request: dict[str, Any], plan: Plan) -> Findings:
        """What another order or slot of the cards would change, and what passes between them."""
        model = self.model(
            request["model"], request.get("file_type"), imatrix=bool(request.get("imatrix"))
        )
        rig = with_backend(self.rig(request["rig"]), request.get("backend"))
        known = RunSettings.model_fields
        asked = {k: v for k, v in request.items() if k in known and v is not None}
        asked["built"] = plan.settings.built
        settings, order = RunSettings.model_validate(asked), ""
        ways = prompt_ways(
            self.accompanied(model, settings), rig, settings, plan, self.calibration(rig)
        )
        if len(rig.devices) > 1:
            order = better_cards(model, rig, settings, plan, self.calibration(rig))
        return Findings(
            order=order,
            slots=slot_changes(model, rig, plan, self.calibration(rig)),
            traffic=explain_traffic(model, rig, plan),
            prompts=tuple(as_sentence(way) for way in ways),
        )

    def answer(self, request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """The contract's answer; ``{"id", "error"}`` where there is none."""
        if not isinstance(request, dict):
            return {"id": None, "error": "A request must be a JSON object."}
        asked: dict[str, Any] = request  # pyright: ignore[reportUnknownVariableType] - JSON
        try:
            return as_json(self.plan(asked), asked.get("id"))
        except RigAdvisorError as error:
            return {"id": asked.get("id"), "error": str(error)}


def _device(device: DevicePlan, beside: tuple[str, ...]) -> dict[str, Any]:
    keys = ("name", "weights", "context", "compute", "driver", "capacity", "free_before")
    return {key: getattr(device, key) for key in (*keys, *beside)}


def _beside(plan: Plan) -> tuple[str, ...]:
    """What runs beside the model; these keys are there only when it was asked for."""
    drafts = ("draft",) if plan.settings.spec_type != "none" else ()
    return (*drafts, "projector") if plan.settings.mmproj else drafts


def as_json(plan: Plan, request_id: Any = None) -> dict[str, Any]:  # noqa: ANN401 - as it came
    """A plan under the contract's keys; sizes in bytes, unknown is null.

    ``calibrated_by`` is there only where a probe of this machine calibrated the speeds.
    """
    speed = plan.speed
    host = plan.host
    beside = _beside(plan)
    return {
        "id": request_id,
        "file_bytes": plan.file_bytes,
        "devices": [_device(device, beside) for device in plan.devices],
        "host": {
            "weights": host.weights,
            "context": host.context,
            "compute": host.compute,
            "output": host.output,
            **{key: getattr(host, key) for key in beside},
        },
        "kv": {kind: cache.model_dump() for kind, cache in plan.kv.items()},
        "recurrent_state": plan.recurrent_state,
        "fits": plan.fits,
        "headroom": plan.headroom,
        "max_ctx": plan.max_ctx,
        "decode_tps": speed.decode_tps.model_dump() if speed.decode_tps else None,
        "prefill_tps": speed.prefill_tps.model_dump() if speed.prefill_tps else None,
        "ttft_s": speed.ttft_s.model_dump() if speed.ttft_s else None,
        "command": list(plan.command),
        "basis": plan.basis.value,
        **({"calibrated_by": speed.calibrated_by} if speed.calibrated_by else {}),
        "llama_cpp": plan.llama_cpp,
        "notes": [*plan.notes, *speed.notes],
    }


def terms_as_json(plan: Plan, found: Findings) -> dict[str, Any]:
    """Keys beside the contract's: every part of the time, by place, and what holds it back."""
    speed = plan.speed
    served = served_tps(speed)
    return {
        "terms": {
            "decode": [asdict(term) for term in speed.decode_terms],
            "prefill": [asdict(term) for term in speed.prefill_terms],
        },
        "sampling_s": speed.sampling_s,
        "served_tps": None if served is None else served.model_dump(),
        "places": [
            {"name": place.name, "where": place.where, "seconds": place.seconds}
            for place in by_place(plan, speed.decode_terms)
        ],
        "bottleneck": {"decode": decode_bottleneck(plan), "prefill": prefill_bottleneck(plan)},
        "slots": [asdict(change) for change in found.slots],
        "between_cards": None if found.traffic is None else found.traffic[1].model_dump(),
    }
