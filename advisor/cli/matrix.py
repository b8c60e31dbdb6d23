"""`rig-advisor matrix`: every file type × context of a model on a rig."""

import argparse
from typing import Any

from pydantic import ValidationError

from advisor.cli.options import settings_of
from advisor.cli.output import DONE, NO, USAGE, complain, say, say_json, table
from advisor.cli.request import Sizer, first_problem, with_backend
from advisor.errors import SettingsError
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing.matrix import Cell, Matrix, matrix
from advisor.sizing.plan import LLAMA_CPP
from advisor.sizing.settings import RunSettings
from advisor.units import size as people
from advisor.units import tokens

_SIGNS = {"fits": "yes", "tight": "tight", "offload": "RAM", "no": "no", "unknown": "?"}


def _models(arguments: argparse.Namespace) -> dict[str, Model]:
    """The model in every file type asked for; a file has only its own."""
    if arguments.model.lower().endswith(".gguf"):
        model = Sizer().model(arguments.model, None, imatrix=False)
        return {model.file_type: model}
    entry = catalogue().find(arguments.model)
    wanted = arguments.file_type.split(",") if arguments.file_type else entry.file_types
    models = [entry.model(name, imatrix=arguments.imatrix) for name in wanted]
    return {model.file_type: model for model in models}


def _contexts(arguments: argparse.Namespace, trained: int) -> list[int]:
    if arguments.contexts:
        return [int(ctx) for ctx in arguments.contexts]
    top = max(trained, 8192)
    return [ctx for ctx in (1024 << power for power in range(2, 12)) if ctx <= top] or [4096]


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "ctx": cell.ctx,
        "verdict": cell.verdict,
        "headroom": cell.headroom,
        "device_total": cell.device_total,
        "host_total": cell.host_total,
    }


def show(found: Matrix, models: dict[str, Model]) -> None:
    """The matrix for people: what fits, and how much is left or missing."""
    rows = [["", "file", *(tokens(ctx) for ctx in found.contexts)]]
    for name, cells in zip(found.file_types, found.rows, strict=True):
        words = [f"{_SIGNS[cell.verdict]} {people(cell.headroom)}" for cell in cells]
        rows.append([name, people(models[name].nbytes), *words])
    table(rows)
    say("yes: fits with the margin; tight: fits; RAM: with a part in RAM; headroom on the devices")


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
    rig = with_backend(Sizer().rig(arguments.rig), arguments.backend)
    first = next(iter(models.values()))
    trained = first.hp.n_ctx_train if first.hp is not None else 0
    found = matrix(models, rig, settings, _contexts(arguments, trained))
    if arguments.json:
        rows = [
            {
                "file_type": name,
                "file_bytes": models[name].nbytes,
                "cells": [_cell(cell) for cell in cells],
            }
            for name, cells in zip(found.file_types, found.rows, strict=True)
        ]
        say_json({"model": first.id, "rig": rig.name, "rows": rows, "llama_cpp": LLAMA_CPP})
    else:
        say(f"{first.name} on {rig.name}")
        show(found, models)
    runs = any(cell.verdict != "no" for cells in found.rows for cell in cells)
    return DONE if runs else NO
