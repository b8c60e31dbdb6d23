"""`rig-advisor matrix`: every file type × context of a model on a rig."""

import argparse
from typing import Any

from pydantic import ValidationError

from advisor import answers
from advisor.cli.options import settings_of
from advisor.cli.output import DONE, NO, USAGE, complain, say, say_json, table
from advisor.cli.request import Sizer, first_problem, with_backend
from advisor.engine.told import told
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm import load
from advisor.llm.model import Model
from advisor.session import ModelChoice
from advisor.sizing.build_rules import version_of
from advisor.sizing.matrix import Cell, Matrix, lacking, matrix
from advisor.sizing.settings import RunSettings
from advisor.units import size as people
from advisor.units import tokens

_SIGNS = {"fits": "yes", "tight": "tight", "offload": "RAM", "no": "no", "unknown": "?"}


def _models(arguments: argparse.Namespace) -> dict[str, Model]:
    """The model in every file type asked for; a file has only its own."""
    if arguments.model.lower().endswith(".gguf"):
        model = Sizer().model(arguments.model, None, imatrix=False)
        return {model.file_type: model}
    if not arguments.file_type:
        choice = ModelChoice(model=arguments.model, imatrix=arguments.imatrix)
        return dict(answers.file_types_of(choice))
    wanted = arguments.file_type.split(",")
    models = [load(arguments.model, name, imatrix=arguments.imatrix) for name in wanted]
    return {model.file_type: model for model in models}


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "ctx": cell.ctx,
        "verdict": cell.verdict,
        "headroom": cell.headroom,
        "device_total": cell.device_total,
        "host_total": cell.host_total,
        "decode_tps": None if cell.decode is None else cell.decode.model_dump(),
    }


def _words(cell: Cell, rig: Rig) -> str:
    room = lacking(cell, rig) if cell.verdict == "offload" else cell.headroom
    return f"{_SIGNS[cell.verdict]} {people(room)}"


def show(found: Matrix, models: dict[str, Model], rig: Rig) -> None:
    """The matrix for people: what fits, and how much is left, missing or in RAM."""
    rows = [["", "file", *(tokens(ctx) for ctx in found.contexts)]]
    for name, cells in zip(found.file_types, found.rows, strict=True):
        rows.append([name, people(models[name].nbytes), *(_words(cell, rig) for cell in cells)])
    table(rows)
    say("yes, tight: what stays free where it is tightest; RAM: about so much of it lies in RAM")


def run(arguments: argparse.Namespace) -> int:
    """Print the matrix. 1: nothing in it can run."""
    if arguments.model is None:
        complain("matrix needs a model")
        return USAGE
    try:
        settings = RunSettings.model_validate(settings_of(arguments))
    except ValidationError as error:
        raise SettingsError(first_problem(error)) from error
    models = _models(arguments)
    sizer = Sizer(calibrated=not arguments.uncalibrated)
    rig = with_backend(sizer.rig(arguments.rig), arguments.backend)
    calibration = sizer.calibration(rig)
    first, settings = next(iter(models.values())), told(settings, rig)
    contexts = arguments.contexts or answers.contexts_of(first, settings)
    found = matrix(models, rig, settings, contexts, calibration=calibration, closely=True)
    if arguments.json:
        rows = [
            {
                "file_type": name,
                "file_bytes": models[name].nbytes,
                "cells": [_cell(cell) for cell in cells],
            }
            for name, cells in zip(found.file_types, found.rows, strict=True)
        ]
        by = {} if calibration is None else {"calibrated_by": calibration.source}
        rules = {"llama_cpp": version_of(settings.built)}
        say_json({"model": first.id, "rig": rig.name, "rows": rows, **by, **rules})
    else:
        say(f"{first.name} on {rig.name}")
        show(found, models, rig)
    runs = any(cell.verdict != "no" for cells in found.rows for cell in cells)
    return DONE if runs else NO
