"""The child of a probe: which program, with which arguments, and where it will answer. Pure."""

from collections.abc import Mapping
from typing import Any

from advisor.engine.bench import bench_arguments, bench_program
from advisor.engine.command import devices_for, for_build
from advisor.engine.launch import Address, Files, embedded_job, placed, program_job
from advisor.probe.question import Question
from advisor.sizing import speculative
from advisor.sizing.arguments import server_arguments

Job = tuple[dict[str, Any], Mapping[str, str]]
"""What the worker is told, and what is added to its environment."""


def job_of(question: Question, files: Files, address: Address) -> Job:
    """The job that loads ``files``: the models' own, or ghosts of them."""
    if question.method == "llama-bench":
        return _bench(question, str(files.model)), {}
    if question.build.kind == "embedded":
        job = embedded_job(
            files,
            question.settings,
            address,
            ghost=question.ghost,
            threads=question.threads,
            spec_type=speculative.kind(question.model, question.settings),
        )
        return job, {}
    return _server(question, files, address), {"LLAMA_API_KEY": address.api_key}


def _server(question: Question, files: Files, address: Address) -> dict[str, Any]:
    """llama-server on our socket; no cache of prompts, which would be measured with the model."""
    given = server_arguments(
        question.model,
        question.settings,
        n_devices=len(question.rig.devices),
        devices=devices_for(question.rig, question.build),
    )
    plain = placed(given, files)
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
        devices=devices_for(question.rig, build),
        options=build.bench_options,
    )
    if question.threads:
        arguments += ["-t", str(question.threads)]
    return program_job([str(bench_program(build)), *arguments])
