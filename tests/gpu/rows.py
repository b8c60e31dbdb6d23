"""Benchmark rows of this machine, in the form of packaging/bench_added.jsonl.

    python tests/gpu/rows.py --out FOLDER --programs FOLDER [--list FILE] [--seconds S]

Runs llama-bench on ghosts, or on ghosts filled with random weights ("filled"), one line of the
list after the other, and stops before S seconds are over. FOLDER gets a row for every test as soon
as it is there (``rows.jsonl``), and what each run said (``runs.log``).

A line of the list: {"model": catalogue name, "file_type": "Q4_K_M", "flags": "-fa 1 -d 0,16384",
"filled": false}.

``date`` is the day of the run; bench_own.jsonl takes the build's instead, by which speeds differ,
and the names of packaging/bench_models.json.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from advisor.answers import load_model
from advisor.llm import ghost_fill
from advisor.llm.gguf import read_header
from advisor.llm.ghost import write_ghost
from advisor.llm.model import Model
from advisor.llm.tensor import TensorType
from advisor.session import ModelChoice
from advisor.units import GIB, MIB

LIST = Path(__file__).with_name("rows.json")
LONGEST = 120.0
"""Seconds that one run may take."""


@dataclass(frozen=True)
class Wanted:
    """One run of llama-bench."""

    model: str
    file_type: str
    flags: str
    filled: bool = False

    def __str__(self) -> str:
        return f"{self.model} {self.file_type} {self.flags}{' filled' if self.filled else ''}"


def fill(path: Path) -> None:
    """Random weights into every hole: one piece of each type over and over, since no card keeps
    so much that it would notice."""
    rng = np.random.default_rng(7)
    pieces: dict[str, bytes] = {}
    with path.open("r+b") as file:
        for tensor in read_header(path).tensors:
            if any(word in tensor.name for word in ("norm", "ffn_gate_inp", "token_embd")):
                continue
            piece = pieces.setdefault(tensor.type.name, _piece(tensor.type, rng))
            file.seek(tensor.offset)
            left = tensor.nbytes
            while left > 0:
                left -= file.write(piece[: min(left, len(piece))])


def _piece(kind: TensorType, rng: np.random.Generator) -> bytes:
    blocks = 32 * MIB // kind.size
    return ghost_fill.random_values(kind, blocks * kind.block, rng).tobytes()


def bench(program: Path, path: Path, flags: str, log: Path) -> Iterator[dict[str, Any]]:
    """llama-bench's own lines."""
    command = [str(program), "-m", str(path), *flags.split(), "-o", "jsonl"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    with log.open("a") as file:
        file.write(f"$ {flags}\n{run.stderr}\n{run.stdout}\n")
    for line in run.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def row(wanted: Wanted, model: Model, line: dict[str, Any]) -> dict[str, Any]:
    """As in packaging/bench_added.jsonl, with llama-bench's own line of what it was run with."""
    prompt, generated = int(line["n_prompt"]), int(line["n_gen"])
    speed = round(float(line["avg_ts"]), 2)
    return {
        "model": wanted.model,
        "quant": wanted.file_type,
        "file_gib": round(model.nbytes / GIB, 3),
        "gpu": line.get("gpu_info", ""),
        "backend": line.get("backends", ""),
        "tg_test": f"tg{generated}" if generated else None,
        "tg_tps": speed if generated else None,
        "pp_test": f"pp{prompt}" if prompt else None,
        "pp_tps": speed if prompt else None,
        "depth": int(line.get("n_depth", 0)),
        "flags": wanted.flags,
        "date": date.today().isoformat(),  # noqa: DTZ011 - for people
        "notes": f"{'random weights' if wanted.filled else 'ghost'}, build {line['build_number']}",
        "spread": round(float(line["stddev_ts"]), 2),
        "ubatch": int(line["n_ubatch"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--list", type=Path, default=LIST)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--ghosts", type=Path, default=None)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    ghosts = asked.ghosts or asked.out / "ghosts"
    ends = time.monotonic() + asked.seconds
    for entry in json.loads(asked.list.read_text()):
        wanted = Wanted(**entry)
        if time.monotonic() > ends:
            print(f"no time left for {wanted}", flush=True)
            continue
        began = time.monotonic()
        try:
            model = load_model(ModelChoice(model=wanted.model, file_type=wanted.file_type))
            ghost = write_ghost(model, ghosts, every_token=True)
            try:
                if wanted.filled:
                    fill(ghost.path)
                program = asked.programs / "llama-bench"
                for line in bench(program, ghost.path, wanted.flags, asked.out / "runs.log"):
                    found = row(wanted, model, line)
                    with (asked.out / "rows.jsonl").open("a") as file:
                        file.write(json.dumps(found) + "\n")
                    test = found["tg_test"] or found["pp_test"]
                    speed = found["tg_tps"] or found["pp_tps"]
                    print(f"  {test} @ {found['depth']}: {speed} ± {found['spread']}", flush=True)
            finally:
                ghost.remove()
        except Exception as error:  # noqa: BLE001 - the next line of the list may work
            print(f"{wanted}: {error!r}", file=sys.stderr, flush=True)
        print(f"{wanted}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
