"""The size contract: keys, order, errors and exit statuses."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from advisor import cli
from advisor.__main__ import main
from advisor.answers import matrix_of
from advisor.hardware.compose import parse_rig
from advisor.session import ModelChoice
from advisor.sizing.settings import RunSettings
from advisor.units import tokens

KEYS = {
    "id", "file_bytes", "devices", "host", "kv", "recurrent_state", "fits", "headroom", "max_ctx",
    "decode_tps", "prefill_tps", "ttft_s", "command", "basis", "llama_cpp", "notes",
}  # fmt: skip
RIG = {"gpus": [{"name": "RTX 4090", "count": 2, "memory_gib": 24}], "ram_gib": 128}


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def batch(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert cli.main(["size", "--batch", "-"]) == 0
    return answers(capsys)


def test_the_answer_has_the_contract_s_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"id": "a", "model": "qwen/qwen3-8b", "rig": RIG, "ctx": 32768}

    (answer,) = batch([json.dumps(request)], monkeypatch, capsys)

    assert set(answer) == KEYS
    assert set(answer["devices"][0]) == {
        "name", "weights", "context", "compute", "driver", "capacity", "free_before",
    }  # fmt: skip
    assert set(answer["host"]) == {"weights", "context", "compute", "output"}
    assert answer["kv"] == {
        "attn": {"cells": 32768, "streams": 1, "bytes": 32768 * 36 * 2 * 1024 * 2}
    }
    assert [d["name"] for d in answer["devices"]] == ["CUDA0", "CUDA1"]
    assert answer["id"] == "a"
    assert answer["fits"] is True
    assert answer["basis"] == "computed"
    assert answer["llama_cpp"] == "b11434"
    assert answer["command"][0] == "llama-server"


def test_every_key_of_the_contract_is_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {
        "id": 7, "model": "Qwen/Qwen3-30B-A3B", "file_type": "Q4_K_M", "imatrix": False,
        "file_bytes": None, "rig": RIG, "backend": "vulkan", "ctx": 32768, "ctk": "q8_0",
        "ctv": "q8_0", "batch_size": 1024, "ubatch_size": 256, "parallel": 2, "kv_unified": True,
        "flash_attn": "on", "split_mode": "none", "n_gpu_layers": "fit", "n_cpu_moe": "fit",
        "kv_offload": True, "swa_full": False, "load_mtp": False, "n_outputs": 2, "repack": True,
        "depth": 0, "n_prompt": 512,
    }  # fmt: skip

    (answer,) = batch([json.dumps(request)], monkeypatch, capsys)

    assert [d["name"] for d in answer["devices"]] == ["Vulkan0", "Vulkan1"]
    assert not [note for note in answer["notes"] if "ignored" in note]
    assert answer["devices"][1]["weights"] == 0


def test_a_bad_line_is_answered_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF but not really")
    good = {"model": "Qwen/Qwen3-8B", "rig": "RTX 4090 + 64 GB", "ctx": 8192}
    lines = [
        json.dumps({"id": 1, **good}),
        "{not json",
        json.dumps({"id": 2, **good, "model": "no such model"}),
        json.dumps({"id": 3, **good, "rig": "two bananas"}),
        json.dumps({"id": 4, **good, "ctk": "q9_9"}),
        json.dumps({"id": 5, **good, "ctx": -1}),
        json.dumps({"id": 6, "model": "Qwen/Qwen3-8B", "rig": "RTX 4090"}),
        json.dumps({"id": 7, **good, "model": str(bad)}),
        json.dumps({"id": 8, **good, "model": ["Qwen/Qwen3-8B"]}),
        json.dumps({"id": 9, **good, "rig": 4090}),
        json.dumps({"id": 10, **good, "backend": "abacus"}),
        json.dumps({"id": 11, **good, "file_type": "Q4_WHATEVER"}),
        json.dumps({"id": 12, **good, "ctv": "q8_0", "flash_attn": "off"}),
        "[]",
        json.dumps({"id": 13, **good}),
    ]

    found = batch(lines, monkeypatch, capsys)

    assert [answer["id"] for answer in found] == [1, None, *range(2, 13), None, 13]
    for answer in found[1:-1]:
        assert set(answer) == {"id", "error"}
        assert len(answer["error"]) > 10
    assert set(found[0]) == set(found[-1]) == KEYS


def test_a_fixed_placement_that_does_not_fit_is_still_computed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"model": "deepseek-ai/DeepSeek-R1", "rig": RIG, "ctx": 4096}

    (answer,) = batch([json.dumps(request)], monkeypatch, capsys)

    assert answer["fits"] is False
    assert answer["headroom"] < 0
    assert sum(d["weights"] for d in answer["devices"]) > 300 << 30
    assert answer["max_ctx"] == 0


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    rig = ["--rig", "RTX 4090 + 64 GB DDR5-6000"]
    assert cli.main(["size", "Qwen3-8B", *rig, "-c", "8k"]) == 0
    assert "verdict: fits" in capsys.readouterr().out
    assert cli.main(["size", "DeepSeek-R1", *rig]) == 1
    capsys.readouterr()
    assert cli.main(["size"]) == 2
    assert cli.main(["size", "Qwen3-8B", "--ctx", "many"]) == 2
    assert cli.main(["size", "--batch", "/no/such/file"]) == 2
    assert cli.main(["dance"]) == 2
    assert cli.main([]) == 2
    assert cli.main(["size", "Qwen3-8B", *rig, "-ctv", "q8_0", "-fa", "off"]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert "flash attention" in captured.err


@pytest.mark.parametrize(
    ("rig", "said"),
    [
        ("RTX 4090 + 64 GB DDR5-6000", "(-ngl fit -ncmoe fit) it fits, at "),
        ("RTX 4090 + 64 GB", "it fits. Speed is unknown: part of the model lies in RAM"),
        ("RTX 4090 + 16 GB DDR5-6000", "Nor does it fit with a part of it in RAM"),
        ("RTX 4090", "To see what a part of it in RAM does, add -ngl fit -ncmoe fit."),
    ],
)
def test_a_model_larger_than_the_card_is_told_with_a_part_in_ram(
    rig: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """“My model is twice my VRAM and runs great” was a plain no, and an option to try."""
    assert main(["size", "gpt-oss 120B", "--rig", rig, "--ctx", "8192"]) == 1
    out = capsys.readouterr().out
    assert "largest context none" in out
    assert said in out


def test_what_size_says_of_prompts_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    rig = ["--rig", "RTX 3090 + 128 GB DDR4-3200", "-c", "4096", "-ngl", "fit", "-ncmoe", "fit"]
    asked = ["size", "gpt-oss 120B", *rig]

    def told(*more: str) -> str:
        assert cli.main([*asked, *more]) == 0
        return capsys.readouterr().out

    assert "change: Load it with --load-mode none" in told()
    for option in (["--load-mode", "none"], ["-lm", "none"], ["--no-mmap"]):
        out = told(*option)
        assert "change: Load it" not in out
        assert "--load-mode none" in next(x for x in out.splitlines() if "llama-server -m" in x)
    assert "change: Load it" in told("-lm", "mmap")
    assert cli.main([*asked, "-lm", "mlock"]) == 2
    assert "none of auto, mmap, none" in capsys.readouterr().err


def test_a_list_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--rig", "CPU only + 2 GB DDR4-3200", "--max-params", "0.05"]

    assert cli.main(["best", *asked]) == 1
    assert "No model that you ask for runs on CPU only" in capsys.readouterr().out


def test_a_list_tells_what_llama_server_makes_of_its_speeds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["best", "--rig", "RTX 5090 + 64 GB DDR5-6000", "-c", "8192", "--max-params", "1"]
    assert cli.main([*asked, "--top", "3"]) == 0
    out = capsys.readouterr().out
    assert "decode" in out.splitlines()[0]
    assert "served" in out.splitlines()[0]
    assert "is held against --min-tps" in out
    assert cli.main([*asked, "--top", "1", "--json"]) == 0
    (first,) = json.loads(capsys.readouterr().out)["models"]
    assert first["served_tps"]["mid"] < 0.97 * first["decode_tps"]["mid"]

    slow = ["best", "--rig", "CPU only 16 GB DDR4-3200", "-c", "8192", "--max-params", "9"]
    assert cli.main([*slow, "--top", "1"]) == 0
    assert "served" not in capsys.readouterr().out


def test_speed_that_cannot_be_had_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["size", "Qwen/Qwen3-32B", "--rig", "RTX 3060 12GB + 64 GB DDR5-6000", "-c", "8192"]

    assert cli.main(asked) == 1
    assert "decode, if it did fit:" in (alone := capsys.readouterr().out)
    assert "-ngl fit" in alone

    assert cli.main([*asked, "-ngl", "fit"]) == 0
    assert "if it did fit" not in capsys.readouterr().out


def test_json_of_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["size", "Qwen3-8B", "--file-type", "Q8_0", "--rig", "2x RTX 3060 12GB + 64 GB"]

    assert cli.main([*arguments, "-c", "16384", "-np", "2", "-ngl", "20", "--json"]) == 0

    (answer,) = answers(capsys)
    assert set(answer) == KEYS
    assert answer["kv"]["attn"]["streams"] == 2


def test_the_matrix_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["matrix", "Qwen3-8B", "--rig", "RTX 3060 12GB + 64 GB", "--contexts", "4k,32k"]

    assert cli.main([*arguments, "--json"]) == 0

    (answer,) = answers(capsys)
    by_type = {row["file_type"]: row["cells"] for row in answer["rows"]}
    assert [cell["ctx"] for cell in by_type["Q4_K_M"]] == [4096, 32768]
    assert by_type["Q4_K_M"][0]["verdict"] == "fits"
    assert by_type["BF16"][0]["verdict"] == "offload"
    assert by_type["Q4_K_M"][0]["decode_tps"]["mid"] > 0


def test_a_command_loads_neither_window_nor_engine() -> None:
    code = (
        "import sys\nfrom advisor.__main__ import main\n"
        "main(['size', 'Qwen3-8B', '--rig', 'RTX 4090 + 64 GB'])\n"
        "heavy = {'PySide6', 'xllamacpp', 'pyqtgraph', 'psutil'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["probe", "Qwen3 0.6B", "--seconds", "-5"], "'-5' is not a number from 2 on"),
        (["best", "--min-tps", "nan"], "'nan' is not a number from 0 on"),
        (["matrix", "Qwen3 8B", "--contexts", "4k,x"], "is not a number of tokens"),
        (["nothing"], "invalid choice"),
    ],
)
def test_bad_usage_is_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert "--help" in error


def test_the_matrix_has_the_windows_rows_and_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["matrix", "Qwen3 8B", "--rig", "RTX 3060 12GB + 64 GB DDR4-3200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    choice = ModelChoice(model="Qwen/Qwen3-8B")
    settings = RunSettings()
    expected, _models = matrix_of(choice, parse_rig("RTX 3060 12GB + 64 GB"), settings)
    assert lines[1].split()[1:] == [tokens(ctx) for ctx in expected.contexts]
    assert [line.split()[0] for line in lines[2:-1]] == list(expected.file_types)
    assert "RAM -" not in "".join(lines)


def test_without_a_screen_the_window_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main([]) == 2
    assert "no screen" in capsys.readouterr().err


def test_a_machine_that_was_read_tells_its_llama_cpp_and_words_tell_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = "Ryzen AI Max+ 395 128GB"
    read = parse_rig(words).model_copy(update={"imagined": False, "llama_cpp": "b6077"})
    file = tmp_path / "rig.json"
    file.write_text(read.model_dump_json())
    ask = {"model": "Qwen/Qwen3-8B", "ctx": 4096}
    told = ({"built": "any"}, {"built": "2025-08"}, {"built": "b6077"}, {})
    lines = [json.dumps({**ask, "rig": words, **built}) for built in told]

    *by_words, plain = (answer["prefill_tps"] for answer in batch(lines, monkeypatch, capsys))
    (saved,) = batch([json.dumps({**ask, "rig": str(file)})], monkeypatch, capsys)

    assert plain == by_words[0]
    assert saved["prefill_tps"] == by_words[1] == by_words[2] != plain


def test_a_text_longer_than_the_context_is_told_and_how_long_one_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["size", "Qwen3-8B", "--rig", "RTX 4090 + 64 GB DDR5-6000", "-c", "8k"]
    assert cli.main([*asked, "--depth", "8k"]) == 0
    assert "does not go into this context" not in (out := capsys.readouterr().out)
    assert "after 512 tokens" in next(x for x in out.splitlines() if x.startswith("first token"))
    assert cli.main([*asked, "--depth", "9k"]) == 0
    assert "A text of 9,216 tokens does not go into this context" in capsys.readouterr().out


def test_a_list_says_that_what_lies_in_ram_is_left_behind_for_want_of_its_speed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ["best", "-c", "4096", "--max-params", "0.7", "--rig"]
    assert cli.main([*small, "RTX 4060 + 16 GB"]) == 0
    assert "How fast the RAM is, is not known" in capsys.readouterr().out
    assert cli.main([*small, "RTX 4060 + 16 GB DDR5-5600"]) == 0
    assert "How fast the RAM is" not in capsys.readouterr().out
