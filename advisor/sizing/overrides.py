"""Tensors that a user puts into a buffer of their choice (``--override-tensor``, ``-ot``).

llama.cpp searches the name of every tensor it loads for each pattern in turn, as std::regex does
with ECMAScript's grammar; the first pattern that is found decides (llama-model-loader.cpp:
create_tensor, common/arg.cpp:parse_tensor_buffer_overrides).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from advisor.errors import SettingsError

CPU: Final = "CPU"
"""The buffer type of the host's memory."""

Targets = tuple[tuple[str, int], ...]
"""Patterns in order, each with the device (index in the rig, -1 the host) of its buffer."""

EXPERTS: Final = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")
"""What ``--n-cpu-moe`` puts into RAM (common.h:LLM_FFN_EXPS_REGEX); no norm of experts."""

_PREFIX: Final = {
    "cuda": "CUDA",
    "rocm": "ROCm",
    "vulkan": "Vulkan",
    "metal": "MTL",
    "sycl": "SYCL",
}
"""llama.cpp's device names: the backend's prefix and a number of its own."""

_CLASSES: Final = {
    "[:digit:]": "0-9",
    "[:alpha:]": "A-Za-z",
    "[:alnum:]": "A-Za-z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:space:]": r"\s",
    "[:xdigit:]": "0-9A-Fa-f",
    "[:punct:]": r"!-/:-@\[-`{-~",
}
_LONGEST: Final = 512
"""Characters of a pattern; names of tensors have at most 64."""
_REPEATS: Final = 6
"""Unbounded repeats in a pattern: each multiplies the ways to try by a name's length."""


def device_names(backends: Sequence[str]) -> tuple[str, ...]:
    """llama.cpp's name of every device and of its buffer type: ``CUDA0``, ``CUDA1`` …"""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for backend in backends:
        prefix = _PREFIX.get(backend, backend.upper())
        names.append(f"{prefix}{seen[prefix]}")
        seen[prefix] += 1
    return tuple(names)


def split(given: str | Iterable[str]) -> tuple[str, ...]:
    """``"a=CPU,b=CUDA0"`` as single overrides; every comma separates, as in llama.cpp."""
    texts = [given] if isinstance(given, str) else given
    return tuple(part for text in texts for part in str(text).split(",") if part)


def check(override: str) -> str:
    """The override, or SettingsError with a sentence that says what is wrong with it."""
    pattern, equals, buffer = override.partition("=")
    if not equals or not pattern or not buffer:
        message = (
            f"-ot takes “pattern=buffer”, such as “ffn_.*_exps=CPU”, with commas between several; "
            f"“{override}” is not one."
        )
        raise SettingsError(message)
    compiled(pattern)
    return override


def _fault(pattern: str, why: str) -> SettingsError:
    return SettingsError(f"llama.cpp cannot use the -ot pattern “{pattern}”: {why}.")


def _class(pattern: str, start: int) -> tuple[str, int]:
    """A bracket expression in Python's notation, and where it ends."""
    at = start + 1
    made = ["["]
    if pattern[at : at + 1] == "^":
        made.append("^")
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at : at + 2] == "[:":
            end = pattern.find(":]", at)
            name = pattern[at : end + 2]
            if end < 0 or name not in _CLASSES:
                raise _fault(pattern, "it names a class of characters that does not exist")
            made.append(_CLASSES[name])
            at = end + 2
            continue
        if pattern[at] == "[":
            made.append(r"\[")
            at += 1
            continue
        step = 2 if pattern[at] == "\\" else 1
        made.append(pattern[at : at + step])
        at += step
    if at >= len(pattern):
        raise _fault(pattern, "a “[” has no “]”")
    if made[-1] in {"[", "^"}:
        # ECMAScript: nothing, or anything. Python has no empty class.
        return ("(?!)" if made[-1] == "[" else "(?:.|\n)"), at + 1
    return "".join(made) + "]", at + 1


_QUANTIFIER = re.compile(r"[*+?]|\{\d+(,?)(\d*)\}")


class _Reader:
    """One pattern, read from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.made: list[str] = []
        self.open = [False]
        """Per open group, whether something in it repeats without bound."""
        self.closed = False
        """Whether a group that repeats without bound has just ended."""
        self.repeats = 0

    def read(self) -> str:
        """The pattern in Python's notation."""
        while self.at < len(self.pattern):
            found = _QUANTIFIER.match(self.pattern, self.at)
            if found is not None:
                self.quantifier(found)
            else:
                self.closed = False
                self.atom(self.pattern[self.at])
        return "".join(self.made)

    def take(self, text: str, length: int) -> None:
        self.made.append(text)
        self.at += length

    def quantifier(self, found: "re.Match[str]") -> None:
        pattern, end = self.pattern, found.end()
        end += pattern[end : end + 1] == "?"
        if pattern[end : end + 1] in {"*", "+", "?", "{"}:
            raise _fault(pattern, "a repeat is repeated")
        if found[0][0] in "*+" or (found[1] == "," and not found[2]):
            self.repeats += 1
            if self.closed or self.repeats > _REPEATS:
                raise _fault(pattern, "it repeats too much within itself to be searched")
            self.open[-1] = True
        self.closed = False
        self.take(pattern[self.at : end], end - self.at)

    def atom(self, char: str) -> None:
        pattern, at = self.pattern, self.at
        if char == "\\":
            self.take(pattern[at : at + 2], 2)
        elif char == "[":
            text, end = _class(pattern, at)
            self.take(text, end - at)
        elif char == "(":
            head = next((h for h in ("(?:", "(?=", "(?!") if pattern.startswith(h, at)), "(")
            if head == "(" and pattern[at + 1 : at + 2] == "?":
                raise _fault(pattern, "only (?:…), (?=…) and (?!…) may follow “(?”")
            self.open.append(False)
            self.take(head, len(head))
        elif char == ")":
            if len(self.open) == 1:
                raise _fault(pattern, "a “)” has no “(”")
            self.closed = self.open.pop()
            self.open[-1] = self.open[-1] or self.closed
            self.take(char, 1)
        else:
            self.take("\\Z" if char == "$" else char, 1)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> "re.Pattern[str]":
    """The pattern as Python's re, refusing what ECMAScript's grammar does not have.

    Nested unbounded repeats are refused as well: std::regex is as slow on them as any other
    backtracking search. Raises SettingsError.
    """
    if len(pattern) > _LONGEST:
        raise _fault(pattern[:40] + "…", f"it is longer than {_LONGEST} characters")
    try:
        return re.compile(_Reader(pattern).read(), re.ASCII)
    except re.error as error:
        raise _fault(pattern, str(error.msg)) from None


def resolve(overrides: Sequence[str], backends: Sequence[str]) -> Targets:
    """The overrides with their devices. Raises SettingsError for a buffer that the rig lacks."""
    if not overrides:
        return ()
    known = {name: index for index, name in enumerate(device_names(backends))} | {CPU: -1}
    found: list[tuple[str, int]] = []
    for override in overrides:
        pattern, _, buffer = override.partition("=")
        if buffer not in known:
            message = (
                f"-ot names the buffer “{buffer}”, which this rig does not have; "
                f"it has {', '.join(sorted(known))}."
            )
            raise SettingsError(message)
        found.append((pattern, known[buffer]))
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def target(name: str, targets: Targets) -> int | None:
    """The device that the first matching pattern names; None when no pattern matches."""
    for pattern, device in targets:
        if compiled(pattern).search(name):
            return device
    return None
