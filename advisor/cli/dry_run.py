"""`rig-advisor dry-run`: what llama.cpp itself says a run needs, beside our own figures."""

import argparse
from typing import Any

from pydantic import ValidationError

from advisor.answers import accompanied
from advisor.cli.options import settings_of
from advisor.cli.output import DONE, USAGE, complain, say, say_json, table
from advisor.cli.request import Sizer, first_problem
from advisor.engine.builds import embedded
from advisor.engine.dry_run import DryRun, dry_run
from advisor.engine.machine import read_machine
from advisor.errors import SettingsError
from advisor.sizing import size
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.units import size as people


def _json(run: DryRun) -> dict[str, Any]:
    rows = [*run.devices, run.host, *run.extra]
    return {
        "engine": run.engine,
        "seconds": run.seconds,
        "rows": [
            {"name": r.name, "weights": r.model, "context": r.context, "compute": r.compute}
            for r in rows
        ],
        "kv": [
            {"cells": c.cells, "layers": c.layers, "streams": c.streams, "bytes": c.size}
            for c in run.caches
        ],
        "draft": [
            {"name": r.name, "weights": r.model, "context": r.context, "compute": r.compute}
            for r in run.draft
        ],
        "projector": run.projector,
        "untold": list(run.untold),
    }


def show(run: DryRun, plan: Plan) -> None:
    """llama.cpp's rows, then ours for the same run."""
    rows = [["", "weights", "context", "compute"]]
    rows += [
        [f"llama.cpp {r.name}", people(r.model), people(r.context), people(r.compute)]
        for r in (*run.devices, run.host, *run.extra)
    ]
    rows += [
        [f"computed {d.name}", people(d.weights), people(d.context), people(d.compute)]
        for d in plan.devices
    ]
    host = plan.host
    rows.append(["computed host", people(host.weights), people(host.context), people(host.compute)])
    if run.draft:
        rows += [
            [f"llama.cpp draft, {r.name}", people(r.model), people(r.context), people(r.compute)]
            for r in run.draft
        ]
        whole = [host.draft, *(d.draft for d in plan.devices)]
        total = None if None in whole else sum(size or 0 for size in whole)
        rows.append(["computed draft, together", people(total), "", ""])
    table(rows)
    if run.projector is not None:
        say(f"projector with its buffer: {people(run.projector)}")
    if run.untold:
        say(f"not told without loading: {', '.join(run.untold)}")
    say(f"asked the {run.engine} engine, {run.seconds:.2f} s; its figures are whole MiB")


def run(arguments: argparse.Namespace) -> int:
    """Ask the embedded engine about one run on this machine."""
    if arguments.model is None:
        complain("dry-run needs a model")
        return USAGE
    try:
        settings = RunSettings.model_validate(settings_of(arguments))
    except ValidationError as error:
        raise SettingsError(first_problem(error)) from error
    model = Sizer().model(arguments.model, arguments.file_type, imatrix=arguments.imatrix)
    model = accompanied(model, settings)
    rig = read_machine()
    if not embedded().devices:
        rig = rig.model_copy(update={"devices": ()})  # this engine computes on the CPU
    plan = size(model, rig, settings)
    found = dry_run(model, plan.settings)
    if arguments.json:
        say_json({"model": model.id, "file_type": model.file_type, **_json(found)})
    else:
        show(found, plan)
    return DONE
