"""What people write of one machine, word by word: its GPUs, memory and processor.

Nothing is dropped that could tell one product from another: a word that is neither known nor
idle is an error that names it.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from advisor.errors import RigError
from advisor.hardware import table
from advisor.hardware.imagined import SIZE, described_device, gigabytes, named_memory
from advisor.hardware.network import NUMBERS
from advisor.hardware.spelling import plain
from advisor.hardware.table import GpuEntry
from advisor.hardware.vocabulary import (
    CPU,
    DDR,
    DISK,
    GOES_ON,
    GPU_WORDS,
    IDLE,
    LINK,
    MAKERS,
    MAX_WORDS,
    RAM_IDLE,
    RAM_SIZES,
    RAM_WORDS,
)
from advisor.units import GIB


class Slot(NamedTuple):
    """A card's way to the board; None where the text does not say."""

    generation: int | None
    width: int | None


@dataclass
class MachineWords:
    """What a machine's words say, not yet looked up."""

    gpus: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Count and name, each with its memory where it was given."""
    ram: list[str] = field(default_factory=list[str])
    """Of the RAM: ``"2x"``, ``"32gb"``, ``"ddr5-6000"``, ``"@6000"``, ``"8-channel"``,
    ``"90gb/s"``."""
    cpu: str = ""
    slots: dict[int, Slot] = field(default_factory=dict[int, Slot])
    """By the place in ``gpus``, where the text says how a card is joined to the board."""


def read_words(parts: list[str]) -> MachineWords:
    """Raises RigError that says which part is not understood."""
    out = MachineWords()
    laptop = False
    for part in parts:
        count, name = _split_count(part)
        if described_device(name):
            out.gpus.append((count, name))
        else:
            laptop = _Reader(part, out).read() or laptop
    if laptop:
        out.gpus = [(count, _as_laptop(name)) for count, name in out.gpus]
    sizes = [word for word in out.ram if memory_size(word)]
    for word in sizes if len(sizes) > 1 else ():
        # “RTX 4090, 24 GB, 64 GB RAM”
        if any(named_memory(name) is None and _sold(name, word) for _, name in out.gpus):
            out.ram.remove(word)
            sizes.remove(word)
            break
    if len(sizes) > 1:
        given = " and ".join(size.upper() for size in sizes)
        raise RigError(
            f"The RAM is given twice: {given}. Write its total, or for example “2x32 GB”; a "
            "graphics card's own memory stands behind its name."
        )
    return out


def _split_count(part: str) -> tuple[int, str]:
    found = re.match(r"(\d{1,3})\s*[x×*]\s*(?=\S)", part)
    return (int(found[1]), part[found.end() :]) if found else (1, part)


def memory_size(word: str) -> int | None:
    """Bytes of ``"24gb"`` or ``"64g"``; a processor's “8700g” is none."""
    found = re.fullmatch(SIZE, word)
    if found is None or (found[2] == "g" and float(found[1]) > 2048):
        return None
    return gigabytes(found[1], found[2])


def _of_memory(word: str) -> bool:
    said = re.fullmatch(r"@\d{4,5}|\d{1,2}-channel|\d+(?:\.\d+)?gb/s", word)
    return bool(memory_size(word) or said or word in RAM_WORDS or DDR.fullmatch(word))


def _sold(name: str, size: str) -> bool:
    return bool(table.candidates(f"{name} {size}"))


def _as_laptop(name: str) -> str:
    """A laptop's GPU is another chip than the card of that number."""
    entries = table.candidates(name) or table.same_product(name)
    if not entries or any(entry.unified or entry.laptop for entry in entries):
        return name
    return f"{name} laptop"


class _Reader:
    """Reads one part from left to right; GPUs' names come first, at their longest."""

    def __init__(self, part: str, out: MachineWords) -> None:
        self._part = part
        self._words = plain(part).split()
        self._out = out
        self._at = 0
        self._ram: list[str] = []
        self._cpu: list[str] = []
        self._gpus: list[tuple[int, str]] = []
        self._unread: list[str] = []
        self._count: int | None = None
        self._vram = ""
        """A card's memory that stands before its name: “24GB VRAM RTX 4090”."""
        self._laptop = False
        self._slots: dict[int, Slot] = {}

    def read(self) -> bool:
        """Whether the part calls the machine a laptop."""
        while self._at < len(self._words):
            self._step()
        if self._unread and self._cpu and not any(map(GPU_WORDS.fullmatch, self._unread)):
            self._cpu += self._unread
            self._unread = []
        if self._unread:
            self._refuse()
        if self._vram:
            raise self._no_card(self._vram)
        if self._count is not None and self._cpu:
            self._cpu.insert(0, f"{self._count}x")
        before = len(self._out.gpus)
        self._out.slots |= {before + place: slot for place, slot in self._slots.items()}
        self._out.gpus += self._gpus
        self._out.ram += [word for word in self._ram if word not in RAM_WORDS]
        if self._cpu:
            self._out.cpu = self._as_written(self._cpu)
        return self._laptop

    def _step(self) -> None:
        word = self._words[self._at]
        count = self._counted(word)
        if count is not None:
            self._count = count
            self._at += 1
        elif not (self._gpu() or self._memory(word) or self._processor(word)):
            self._other(word)

    def _counted(self, word: str) -> int | None:
        found = re.fullmatch(r"(\d{1,3})x", word)
        if found:
            return int(found[1])
        if word in NUMBERS:
            return NUMBERS[word]
        if re.fullmatch(r"\d{1,3}", word):
            # “2 3090s”, “4 GPUs RTX 3090”: a bare number counts what stands right behind it.
            return int(word) if self._name_at(self._at + 1) else None
        return None

    def _name_at(self, start: int) -> tuple[int, str, list[GpuEntry]] | None:
        """The longest name of a GPU from a word on: where it ends, the name, what it can be."""
        if start >= len(self._words) or memory_size(self._words[start]):
            return None
        last = min(len(self._words), start + MAX_WORDS)
        ram = (at for at in range(start, last) if DDR.fullmatch(self._words[at]))
        for end in range(next(ram, last), start, -1):
            name = " ".join(self._words[start:end])
            if self._words[start:end][-2:] == ["pcie", "pcie"]:
                continue  # “A100 40GB PCIe PCIe 3.0 x4”: the second begins the card's link
            for spelt in (name, re.sub(r"s$", "", name)):
                entries = table.candidates(spelt) or table.same_product(spelt)
                if entries and self._own_memory(spelt, end, entries):
                    return end, spelt, entries
        return None

    def _own_memory(self, name: str, end: int, entries: list[GpuEntry]) -> bool:
        """Whether a size within a name is the card's, not the RAM's beside it."""
        size = named_memory(name)
        if size is None or any(entry.unified for entry in entries):
            return True
        following = self._words[end] if end < len(self._words) else ""
        if following in RAM_WORDS or DDR.fullmatch(following):
            return False
        # Cards are rebuilt with twice their memory; other sizes that RAM comes in are the RAM's.
        rebuilt = size == 2 * min(entry.memory_gib for entry in entries) * GIB
        return bool(table.candidates(name)) or rebuilt or size / GIB not in RAM_SIZES

    def _gpu(self) -> bool:
        found = self._name_at(self._at)
        if found is None:
            return False
        end, name, entries = found
        self._plural(self._words[end - 1], name, entries)
        self._at = end
        if named_memory(name) is None:
            name += self._vram or self._bare_pool(entries) or self._size_before(name, entries)
        self._vram = ""
        self._counted_behind()
        self._add(1 if self._count is None else self._count, name)
        self._count = None
        return True

    def _counted_behind(self) -> bool:
        """“RTX 3090 x2”."""
        following = self._words[self._at] if self._at < len(self._words) else ""
        behind = re.fullmatch(r"x(\d{1,3})", following)
        if behind is None:
            return False
        self._count = int(behind[1])
        self._at += 1
        return True

    def _add(self, count: int, name: str) -> None:
        """A GPU; of several with a size that none has alone it is all of theirs together."""
        size, bare = named_memory(name), re.sub(rf"\s*{SIZE}", "", name)
        following = self._words[self._at] if self._at < len(self._words) else ""
        said = following in {"total", "combined", "altogether"}
        if size and count > 1 and (said or not table.candidates(name)):
            each = f"{size / count / GIB:g}gb"
            if _sold(bare, each) or any(
                entry.memory_gib * GIB * count == size for entry in table.candidates(bare)
            ):
                name = f"{bare} {each}"
        self._gpus.append((count, name))

    def _plural(self, last: str, name: str, entries: list[GpuEntry]) -> None:
        """“2x 4080s” is two RTX 4080 to some and two SUPER to others."""
        if (self._count or 1) > 1 and re.fullmatch(r"\d{4}s", last) and name.endswith(last):
            plain = table.candidates(name[:-1])
            if plain:
                sizes = "; ".join(entry.short_name for entry in (*plain, *entries))
                raise RigError(f"“{last}” can be more than one card. Say which: {sizes}.")

    def _bare_pool(self, entries: list[GpuEntry]) -> str:
        """“M3 Ultra 512”: the number alone, where the machine is sold with it."""
        word = self._words[self._at] if self._at < len(self._words) else ""
        options = {str(size) for entry in entries for size in entry.memory_options_gib}
        if word not in options:
            return ""
        self._at += 1
        return f" {word}gb"

    def _size_before(self, name: str, entries: list[GpuEntry]) -> str:
        """“2x 16GB 5060 Ti”: a size before the name is the card's where it tells which card."""
        size = self._ram[-1] if self._ram else ""
        counted = len(self._ram) > 1 and re.fullmatch(r"\d{1,3}x", self._ram[-2])
        if memory_size(size) is None or not (
            counted or len(entries) > 1 or not table.candidates(name)
        ):
            return ""
        if not _sold(name, size):
            return ""
        self._ram.pop()
        if counted:
            self._count = int(self._ram.pop()[:-1])
        return f" {size}"

    def _memory(self, word: str) -> bool:
        size = memory_size(word)
        following = self._words[self._at + 1] if self._at + 1 < len(self._words) else ""
        if size is not None and following in DISK:
            self._at += 1
            while self._at < len(self._words) and self._words[self._at] in DISK:
                self._at += 1
            return True
        if size is not None and following == "vram":
            self._of_the_card(word, size)
            self._at += 2
            return True
        if size is not None and self._own_again(word, size, following):
            return True
        if not _of_memory(word):
            return False
        if self._count is not None and size is not None:
            self._ram.append(f"{self._count}x")
            self._count = None
        self._ram.append(word)
        self._at += 1
        return True

    def _own_again(self, word: str, size: int, following: str) -> bool:
        """“RTX 4090 Gaming OC 24GB” says a card's own memory, “B60 Dual 48GB” that of two."""
        if not self._gpus or self._ram or following in RAM_WORDS or DDR.fullmatch(following):
            return False
        count, name = self._gpus[-1]
        entries = table.candidates(name)
        if named_memory(name) or any(entry.unified for entry in entries):
            return False
        dual = self._words[self._at - 1] == "dual" and self._count == 2
        if dual and any(entry.memory_gib * GIB * 2 == size for entry in entries):
            self._gpus[-1] = (count * 2, name)
        elif _sold(name, word) and (self._count is None or self._dual()):
            self._gpus[-1] = (count, f"{name} {word}")
        else:
            return False
        self._at += 1
        self._count = None
        if self._counted_behind() and count == 1:
            self._gpus[-1] = (self._count or 1, self._gpus[-1][1])
        self._count = None
        return True

    def _dual(self) -> bool:
        """Whether what counts is “Dual” behind a card's name: its board has two fans."""
        words = self._words[: self._at]
        return self._count == 2 and "dual" in words[-3:]

    def _no_card(self, word: str) -> RigError:
        return RigError(
            f"“{self._part}” says how much memory a card has, not which card it is. Write its "
            f"name too, or for a card that is not in the table: “My card {word.strip().upper()} "
            "500 GB/s”."
        )

    def _of_the_card(self, word: str, size: int) -> None:
        if not self._gpus:
            if self._vram:
                raise self._no_card(word)
            self._vram = f" {word}"
            return
        count, name = self._gpus.pop()
        own = named_memory(name)
        if own not in {None, size}:
            raise RigError(f"“{self._part}” gives a card two sizes of memory.")
        self._gpus.append((count, name if own else f"{name} {word}"))

    def _processor(self, word: str) -> bool:
        if not CPU.fullmatch(word) or not self._goes_on(word):
            return False
        if self._count is not None:  # “dual EPYC 7742 512GB”: not two times that memory
            self._cpu.append(f"{self._count}x")
            self._count = None
        self._cpu.append(word)
        self._at += 1
        while self._at < len(self._words):
            following = self._words[self._at]
            if (
                _of_memory(following)
                or self._counts(following)
                or self._name_at(self._at)
                or GPU_WORDS.fullmatch(following)
                or not re.search(r"\d|^(ai|max\+?|pro|gold|silver|platinum|bronze|ultra|hx|wx|plus"
                                 r"|pi|core|x|elite|gen|threadripper|i[3579])$", following)
            ):  # fmt: skip
                break
            self._cpu.append(following)
            self._at += 1
        return True

    def _counts(self, word: str) -> bool:
        """Whether a word within a processor's name counts something; “Core Ultra X7” does not."""
        series = self._cpu[-1] == "ultra" and word in {"x7", "x9"}
        return not series and bool(re.fullmatch(r"\d{1,3}x|x\d{1,3}", word))

    def _goes_on(self, word: str) -> bool:
        more = GOES_ON.get(word)
        return more is None or bool(
            self._at + 1 < len(self._words) and more.match(self._words[self._at + 1])
        )

    def _other(self, word: str) -> None:
        self._at += 1
        if word in {"laptop", "notebook", "mobile"}:
            self._laptop = True
        elif self._is_link(word) and not self._unread:
            said = [word.removeprefix("pcie").lstrip("-@")]
            while self._at < len(self._words) and LINK.fullmatch(self._words[self._at]):
                said.append(self._words[self._at])
                self._at += 1
            self._slot(" ".join(said))
        elif not (
            IDLE.fullmatch(word)
            or MAKERS.fullmatch(word)
            or (self._ram and RAM_IDLE.fullmatch(word))
        ):
            self._unread.append(word)

    def _is_link(self, word: str) -> bool:
        return word.startswith("pcie") or bool(self._gpus and re.fullmatch(r"gen[1-7]", word))

    def _slot(self, said: str) -> None:
        """``"3.0 x4"``, ``"gen4"``, ``"x8"``: of the card before it."""
        generation = re.search(r"(?<![x\d.])(?:gen)?([1-7])(?:\.\d)?(?!\d)", said)
        width = re.search(r"x(1|2|4|8|16)(?!\d)", said)
        slot = Slot(int(generation[1]) if generation else None, int(width[1]) if width else None)
        if not any(slot):
            return
        if self._gpus:
            self._slots[len(self._gpus) - 1] = slot
        elif self._out.gpus:  # “RTX 3090, PCIe 3.0 x1”
            self._out.slots[len(self._out.gpus) - 1] = slot

    def _as_written(self, words: list[str]) -> str:
        """Words in the case in which they were written."""
        written = {word.lower(): word for word in re.split(r"[\s()/]+", self._part)}
        return " ".join(written.get(word, word) for word in words)

    def _refuse(self) -> None:
        """Say what is not understood; a part that is nothing else is looked up, which says why."""
        unread = self._as_written(self._unread)
        within = table.integrated_called(unread)
        if within:
            raise RigError(
                f"{within} is graphics within a processor, which computes from the RAM. Write the "
                "RAM with its speed instead, as in “64 GB DDR5-5600”."
            )
        if self._gpus:
            near = _near(" ".join((self._gpus[-1][1], *self._unread)))
            why = f"“{unread}” is no part of a name in the GPU table.{near}"
        elif any(not memory_size(word) for word in self._ram):
            why = (
                f"“{unread}” is not in the GPU table.{_near(unread)} Separate parts with “+”, for "
                "example “RTX 4090 + 64 GB DDR5-5600”."
            )
        else:
            _, name = _split_count(self._part)
            self._out.gpus.append((1 if self._count is None else self._count, name))
            self._ram = []
            return
        raise RigError(f"“{self._part}” is not understood: {why}")


def _near(name: str) -> str:
    near = table.suggest(name)
    return f" Did you mean {' or '.join(near)}?" if near else ""
