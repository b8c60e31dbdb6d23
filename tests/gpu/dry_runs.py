"""Our plans against llama.cpp's accounting with its GPU backend, architecture by architecture.

    python tests/gpu/dry_runs.py --out FOLDER --programs FOLDER [--seconds S] [--limit N]

No weights are loaded: about two seconds a model. ``dry_runs.json`` holds both sides' bytes.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from advisor.engine.accuracy import one_per_architecture
from advisor.engine.builds import Build, ask
from advisor.engine.dry_run import dry_run
from advisor.engine.told import told
from advisor.errors import RigAdvisorError
from advisor.hardware import detect
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.units import MIB

SETTINGS = (
    RunSettings(ctx=16384),
    RunSettings(ctx=32768, ctk="q8_0", ctv="q8_0", parallel=4, kv_unified=True, ubatch_size=1024),
    RunSettings(ctx=8192, n_cpu_moe="all"),
)


def compared(model: Model, rig: Rig, settings: RunSettings, found: Build) -> dict[str, Any]:
    """Bytes of device 0 and of the host, ours and llama.cpp's (whole MiB)."""
    plan = size(model, rig, settings)
    run = dry_run(model, plan.settings, build=found, n_devices=len(rig.devices))
    ours, host = plan.devices[0], plan.host
    theirs = run.devices[0]
    pairs = {
        "device weights": (ours.weights, theirs.model),
        "device context": (ours.context, theirs.context),
        "device compute": (ours.compute, theirs.compute),
        "host weights": (host.weights, run.host_model),
        "host context": (host.context, run.host.context),
        "host compute": (host.compute, run.host.compute),
    }
    # llama.cpp prints whole MiB, rounded down; of the host's weights in two rows.
    off = {
        name: (mine, told)
        for name, (mine, told) in pairs.items()
        if mine is not None and not told <= mine < told + 2 * MIB
    }
    return {"pairs": pairs, "off": off, "compute": run.compute}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--limit", type=int, default=1000)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    found = ask(asked.programs / "llama-server")
    rig = detect().model_copy(update={"llama_cpp": found.version})
    ends = time.monotonic() + asked.seconds
    rows: list[dict[str, Any]] = []
    for entry in one_per_architecture(asked.limit):
        model = entry.model(entry.suggested_file_type)
        for settings in SETTINGS if model.hp and model.hp.n_expert else SETTINGS[:2]:
            if time.monotonic() > ends:
                break
            row: dict[str, Any] = {"arch": entry.arch, "model": entry.name, "ctx": settings.ctx}
            try:
                row |= compared(model, rig, told(settings, rig), found)
            except RigAdvisorError as error:
                row["refused"] = str(error)
            rows.append(row)
            if row.get("off") or "refused" in row:
                print(entry.arch, entry.name, settings.ctx, row.get("refused") or row["off"])
    (asked.out / "dry_runs.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows)} runs, {sum(not (r.get('off') or 'refused' in r) for r in rows)} equal")


if __name__ == "__main__":
    main()
