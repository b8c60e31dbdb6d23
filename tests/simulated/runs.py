"""Our bytes against llama.cpp's own, to the byte, with its CUDA backend and without a GPU.

    python tests/simulated/runs.py --source LLAMA_CPP --build FOLDER --out FOLDER
        [--cuda FOLDER] [--runs N] [--seed N] [--built BUILD] [ARCHITECTURE …]

LLAMA_CPP: its source tree; FOLDER of ``--build``: that tree built with ``-DGGML_CUDA=ON
-DBUILD_SHARED_LIBS=ON``, which takes CUDA's toolkit (``--cuda``, its headers are needed here too)
and no card. ``cuda.c`` stands in for the CUDA libraries,
``reserved.cpp`` asks llama.cpp as llama-server would. N odd runs per architecture of the catalogue
(three unless said otherwise) are drawn by chance: contexts of any length, types of caches, batches,
slots, 0 to 4 cards, layers, experts and tensors in RAM, -sm tensor, drafting by NextN layers or by
a model. What differs is printed, and kept in ``OUT/differences.jsonl``; it exits with 1 where
anything does. Sizes are in bytes.

The rules asked for are those of the build (``--built``, b11549 unless said otherwise); 2,280 runs
take five minutes. Known to differ: where "auto" leaves flash attention out for a card, the larger
graph may not fit llama.cpp's table of nodes, over which it ends itself (once in some thousand
runs). Of -sm tensor only compute buffers and the host are compared: with it llama.cpp does not tell
what lies on which card. What is refused here since only a real run would fail does not count.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from advisor.engine.launch import Files, placed
from advisor.errors import RigAdvisorError, SettingsError
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.llm.ghost import ghost_of
from advisor.llm.model import Model
from advisor.sizing import refusals, speculative
from advisor.sizing.allocation import Allocation, allocate
from advisor.sizing.arguments import program_of, server_arguments
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import n_blocks
from advisor.units import MIB

HERE = Path(__file__).parent
LIBRARIES = {
    "RUNTIME": ("libcudart.so.13", r"(__)?cuda[A-Z]\w+"),
    "DRIVER": ("libcuda.so.1", r"cu[A-Z]\w+"),
    "BLAS": ("libcublas.so.13", r"cublas\w+"),
}
"""Part of ``cuda.c``, the library's name, and the functions that are asked of it."""
CACHES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
DRAFT = "Qwen/Qwen3-0.6B"
BY_HAND = (
    "ffn_down=CPU",
    r"blk\.[02468]\.ffn_.*=CPU",
    "token_embd=CUDA0",
    "output=CPU",
    "attn_k=CPU",
)
CARDS_MIB = (4000, 8192, 16000, 24576, 32607, 81559)

Sizes = list[list[int]]
"""Weights, context and compute by device and, last, on the host."""


def tool(name: str) -> str:
    """Where a program of the compiler's lies."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not on the PATH.")
    return found


def build(source: Path, made: Path, cuda: Path, out: Path) -> Path:
    """The stand-ins and the program that asks; where it lies."""
    backend = made / "bin" / "libggml-cuda.so"
    listed = subprocess.run(
        [tool("nm"), "-D", "--undefined-only", backend], check=True, capture_output=True, text=True
    )
    wanted = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()}
    written = (HERE / "cuda.c").read_text()
    for part, (library, names) in LIBRARIES.items():
        stubs = [
            f'int stub_{name}(void) __asm__("{name}"); int stub_{name}(void) {{ return 0; }}'
            for name in sorted(wanted)
            if re.fullmatch(names, name) and not re.search(rf"\b{name}\(", written)
        ]
        stub, script = out / f"{part.lower()}.c", out / f"{part.lower()}.map"
        stub.write_text("\n".join([f'#include "{HERE / "cuda.c"}"', *stubs, ""]))
        script.write_text(f"{library} {{ global: *; }};\n")
        headers = f"-I{cuda / 'include'}"
        command = [tool("gcc"), "-shared", "-fPIC", f"-D{part}", headers, str(stub)]
        # The driver's functions carry no version.
        versioned = [] if part == "DRIVER" else [f"-Wl,--version-script={script}"]
        command += [f"-Wl,-soname,{library}", *versioned, "-o", str(out / library)]
        subprocess.run(command, check=True)
    program = out / "reserved"
    folders = ("common", "include", "ggml/include", "src", "vendor")
    subprocess.run(
        [
            tool("g++"), "-O1", "-std=c++17", "-w", *(f"-I{source / folder}" for folder in folders),
            str(HERE / "reserved.cpp"), "-o", str(program), f"-L{made / 'bin'}", "-lllama-common",
            "-lllama", "-lggml", "-lggml-base", "-Wl,--allow-shlib-undefined",
        ],
        check=True,
    )  # fmt: skip
    return program


class Asked:
    """The program that answers, one line at a time."""

    def __init__(self, program: Path, libraries: list[Path], log: Path) -> None:
        path = ":".join(map(str, libraries))
        self._child = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            env={**os.environ, "LD_LIBRARY_PATH": path, "GGML_NO_BACKTRACE": "1"},
            text=True,
        )

    def ask(self, words: list[str]) -> dict[str, Any]:
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("\t".join(words) + "\n")
        stdin.flush()
        answer = next(line for line in stdout if line.startswith("@@"))
        return json.loads(answer[2:])

    def close(self) -> None:
        self._child.communicate()


def theirs(told: dict[str, list[int]], n_devices: int, mine: Sizes) -> Sizes:
    """As llama.cpp told it. With -sm tensor its devices are one, whose compute buffer each has; how
    weights and caches are cut it does not tell, and ``mine`` stand for them."""
    rows = [[0, 0, 0] for _ in range(n_devices + 1)]
    for name, sizes in told.items():
        if name.startswith("Meta"):
            rows[:n_devices] = [[*row[:2], sizes[2]] for row in mine[:n_devices]]
            continue
        device = re.fullmatch(r"CUDA(\d+)", name)
        row = rows[int(device[1]) if device else n_devices]
        for part in range(3):
            row[part] += sizes[part]
    return rows


def ours(found: Allocation) -> Sizes:
    context, compute = found.context, found.compute
    assert context is not None
    assert compute is not None
    parts = (found.weights, context, compute)
    places = range(len(found.weights.devices))
    return [*([part.devices[d] for part in parts] for d in places), [part.host for part in parts]]


def compared(
    asked: Asked, model: Model, settings: RunSettings, free: list[int], files: Files
) -> dict[str, Any]:
    """What differs; empty: nothing. ``free``: MiB per card."""
    n = len(free)
    refused, found = "", None
    try:
        refusals.check(model, settings)
        resolved = speculative.resolved(settings)
        if model.draft is not None:
            drafting = speculative.draft_settings(resolved, model.draft)
            refusals.check(model.draft, drafting, drafts=True)
        found = allocate(model, resolved, ["cuda"] * n, [mib * MIB for mib in free])
    except SettingsError as error:
        refused = str(error)
    program, *mode = program_of(model)
    words = [f"SIMULATED_DEVICES={n}", f"SIMULATED_FREE_MIB={','.join(map(str, free))}"]
    if program == "llama-diffusion-cli":
        words.append("SIMULATED_EVERY_ROW=1")
    words += placed(server_arguments(model, settings, n_devices=n), files)
    told = asked.ask(words + (mode if program == "llama-server" else []))
    parts = [told, *(told.get(part, {}) for part in ("main", "draft"))]
    error = next((part["error"] for part in parts if "error" in part), "")
    if refused or error or found is None:
        # Of -sm tensor some is refused that ends llama.cpp only when it cuts real weights, and
        # without flash attention llama.cpp reads heads from within blocks of a quantized cache.
        unseen = "matrix by matrix" in refused or "do not fill whole" in refused
        return {} if unseen or (refused and error) else {"refused here": refused, "there": error}
    pairs = {"main": (found, told["main"])}
    if found.draft is not None and "draft" in told:
        pairs["draft"] = (found.draft, told["draft"])
    different: dict[str, Any] = {}
    for name, (allocation, said) in pairs.items():
        rows = theirs(said, n, ours(allocation))
        if name == "draft" and model.draft is None:  # it runs on the main model's weights
            rows = [[0, *row[1:]] for row in rows]
        for place, (mine, other) in enumerate(zip(ours(allocation), rows, strict=True)):
            for part, a, b in zip(("weights", "context", "compute"), mine, other, strict=True):
                if a != b:
                    where = "host" if place == n else f"CUDA{place}"
                    different[f"{name} {where} {part}"] = (a, b)
    return different


def drawn(chance: random.Random, model: Model, built: str) -> tuple[RunSettings, list[int]]:
    """One odd run, and the free memory of its cards in MiB."""
    pick, blocks = chance.choice, n_blocks(model)
    free = [pick(CARDS_MIB) for _ in range(pick((0, 1, 1, 1, 2, 2, 3, 4)))]
    key = pick(CACHES)
    asked: dict[str, Any] = {
        "built": built,
        "ctx": pick((1, 77, 256, 300, 1000, 4096, 5000, 8191, 16384, 33333, 70001, 131072)),
        "parallel": pick((1, 1, 1, 2, 3, 4, 5, 8)),
        "kv_unified": chance.random() < 0.35,
        "ctk": key,
        "ctv": key if chance.random() < 0.5 else pick(CACHES),
        "flash_attn": pick(("auto", "auto", "on", "off")),
        "ubatch_size": pick((1, 16, 32, 100, 128, 256, 512, 512, 512, 1000, 2048, 4096)),
        "batch_size": pick((1, 4, 8, 64, 256, 500, 2048, 2048, 2048, 4096)),
        "swa_full": chance.random() < 0.15,
    }
    if free:
        asked["kv_offload"] = chance.random() > 0.15
        asked["n_gpu_layers"] = pick(("all", "all", "all", 0, 1, blocks // 2, blocks, blocks + 1))
        if chance.random() < 0.25:
            asked["n_cpu_moe"] = pick((1, 2, blocks // 2, "all"))
        if chance.random() < 0.2:
            asked["override_tensor"] = (pick(BY_HAND),)
    if len(free) > 1:
        asked["split_mode"] = pick(("layer", "layer", "layer", "none", "tensor"))
        shares = tuple(pick((0, 1, 2, 3, 0.5, 10)) for _ in free)
        if chance.random() < 0.3 and any(shares):
            asked["tensor_split"] = shares
        if asked["split_mode"] == "none":
            asked["main_gpu"] = chance.randrange(len(free))
    if model.hp is not None and model.hp.n_layer_nextn and chance.random() < 0.3:
        asked |= {"spec_type": "draft-mtp", "spec_draft_n_max": pick((1, 3, 8))}
        asked |= {"ctkd": pick(CACHES), "ctvd": pick(CACHES)}
    elif program_of(model) == ("llama-server",) and len(free) < 2 and chance.random() < 0.1:
        # On several cards it is split by what is left free, and here nothing is ever taken.
        asked |= {"spec_type": "draft-simple", "model_draft": DRAFT, "ctkd": pick(CACHES)}
        asked |= {"spec_draft_n_max": pick((1, 3, 8)), "n_gpu_layers_draft": pick(("all", 0, 5))}
    return RunSettings.model_validate(asked), free


def smallest() -> dict[str, CatalogueEntry]:
    """Of every architecture the smallest model."""
    found: dict[str, CatalogueEntry] = {}
    for entry in sorted(catalogue().entries, key=lambda entry: entry.n_params):
        found.setdefault(entry.arch, entry)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--source", "--build", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--cuda", type=Path, default=Path("/usr/local/cuda"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--built", default="b11549")
    parser.add_argument("architectures", nargs="*")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    program = build(given.source.resolve(), given.build.resolve(), given.cuda, out)
    libraries = [out, given.build.resolve() / "bin"]
    asked = Asked(program, libraries, out / "errors.log")
    chance, runs, lines = random.Random(given.seed), 0, list[str]()
    stack = contextlib.ExitStack()
    draft = catalogue().find(DRAFT).model("Q8_0")
    draft_ghost = stack.enter_context(ghost_of(draft, out, header_only=True))
    for arch, entry in smallest().items():
        if given.architectures and arch not in given.architectures:
            continue
        try:
            model = entry.model(entry.suggested_file_type)
            with ghost_of(model, out, header_only=True) as ghost:
                files = Files(ghost.path, draft_ghost.path)
                for _ in range(given.runs):
                    settings, free = drawn(chance, model, given.built)
                    runs += 1
                    drafts = settings.spec_type == "draft-simple"
                    run = replace(model, draft=draft) if drafts else model
                    different = compared(asked, run, settings, free, files)
                    if different:
                        line = {"arch": arch, "model": entry.id, "free_mib": free}
                        line |= {"settings": settings.model_dump(exclude_defaults=True)}
                        lines.append(json.dumps(line | {"different": different}))
                        print(lines[-1], flush=True)
        except RigAdvisorError as error:
            print(arch, error)
    asked.close()
    stack.close()
    (out / "differences.jsonl").write_text("".join(f"{line}\n" for line in lines))
    print(f"{runs} runs, {runs - len(lines)} equal to the byte")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
