"""Answers at once: what resources/batching.json holds, of this machine.

    python tests/gpu/batches.py --out FOLDER --programs FOLDER [--list FILE] [--seconds S]

Runs llama-batched-bench on ghosts, one line of the list after the other, and stops before S seconds
are over. FOLDER gets a series as soon as it is there (``batches.jsonl``) and what each run said
(``batches.log``). Prompts of a ghost are random tokens: experts are chosen independently, as in the
published series of resources/batching.json, which are of random tokens too.

A line of the list: {"model": catalogue name, "file_type": "Q4_K_M", "prompt": 512}, and
"at_once": [1, 2, 4, 8, 16, 32, 64] where fewer are wanted.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.answers import load_model
from advisor.llm.ghost import write_ghost
from advisor.session import ModelChoice

LIST = Path(__file__).with_name("batches.json")
ANSWERED = 32
"""Tokens of each answer."""
LONGEST = 120.0
"""Seconds that one run may take."""


@dataclass(frozen=True)
class Wanted:
    """One series."""

    model: str
    file_type: str
    prompt: int
    at_once: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)


def series(program: Path, ghost: Path, wanted: Wanted, log: Path) -> list[dict[str, Any]]:
    """llama-batched-bench's own lines, one for each number of answers at once."""
    cells = max(wanted.at_once) * (wanted.prompt + ANSWERED)
    options = {
        "-c": cells,
        "-b": 2048,
        "-ub": 512,
        "-ngl": 999,
        "-fa": "on",
        "-npp": wanted.prompt,
        "-ntg": ANSWERED,
        # The first run warms up kernels and is left out.
        "-npl": ",".join(map(str, (wanted.at_once[0], *wanted.at_once))),
        "--output-format": "jsonl",
    }
    command = [str(program), "-m", str(ghost)]
    for option, value in options.items():
        command += [option, str(value)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n{run.stderr}\n{run.stdout}\n")
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")][1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--list", type=Path, default=LIST)
    parser.add_argument("--seconds", type=float, default=3600.0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + asked.seconds
    for entry in json.loads(asked.list.read_text()):
        wanted = Wanted(**entry)
        if time.monotonic() > ends:
            print(f"no time left for {wanted}", flush=True)
            continue
        try:
            model = load_model(ModelChoice(model=wanted.model, file_type=wanted.file_type))
            ghost = write_ghost(model, asked.out / "ghosts", every_token=True)
            try:
                program = asked.programs / "llama-batched-bench"
                found = series(program, ghost.path, wanted, asked.out / "batches.log")
            finally:
                ghost.remove()
        except Exception as error:  # noqa: BLE001 - the next line of the list may work
            print(f"{wanted}: {error!r}", file=sys.stderr, flush=True)
            continue
        row = {
            "model": wanted.model,
            "file_type": wanted.file_type,
            "prompt": wanted.prompt,
            "at_once": [line["pl"] for line in found],
            "tps": [line["speed_tg"] for line in found],
            "prompt_tps": [line["speed_pp"] for line in found],
        }
        with (asked.out / "batches.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
