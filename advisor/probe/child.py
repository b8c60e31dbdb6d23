"""The child of a probe: which program, with which arguments, and where it will answer. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.engine.bench import bench_arguments, bench_program
from advisor.engine.command import for_build
from advisor.engine.launch import Address, embedded_job, program_job
from advisor.probe.question import Question
from advisor.sizing.arguments import server_arguments

Job = tuple[dict[str, Any], Mapping[str, str]]
"""What the worker is told, and what is added to its environment."""


def job_of(question: Question, path: str, address: Address) -> Job:
    """The job that loads ``path``, which is the model's file or its ghost."""
    if question.method == "llama-bench":
        return _bench(question, path), {}
    if question.build.kind == "embedded":
        settings = question.settings
        return embedded_job(Path(path), settings, address, threads=question.threads), {}
    return _server(question, path, address), {"LLAMA_API_KEY": address.api_key}


def _server(question: Question, path: str, address: Address) -> dict[str, Any]:
    """llama-server on our socket; no cache of prompts, which would be measured with the model."""
    plain = list(
        server_arguments(question.model, question.settings, n_devices=len(question.rig.devices))
    )
    plain[plain.index("-m") + 1] = path
    if question.threads:
        plain += ["-t", str(question.threads)]
    plain += ["--host", address.host, "--port", "0", "-lv", "4", "--cache-ram", "0"]
    return program_job([question.build.path, *for_build(plain, question.build)])


def _bench(question: Question, path: str) -> dict[str, Any]:
    build = question.build
    arguments = bench_arguments(
        question.model,
        question.settings,
        path,
        n_devices=len(question.rig.devices),
        options=build.bench_options,
    )
    if question.threads:
        arguments += ["-t", str(question.threads)]
    return program_job([str(bench_program(build)), *arguments])
