"""Compute buffers of catalogue models, kept in the user's cache folder from one start to the next.

Working them out is half of the first look at the catalogue. The file belongs to the rules that its
figures were made by; files of others are deleted. It may be deleted at any time. A packed program
brings those that most first starts ask for (packaging/ship_buffers.py).
"""

import contextlib
import sqlite3
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final
from zlib import crc32

from advisor import paths, resources
from advisor.sizing.compute import recall
from advisor.sizing.compute.recall import Sizes

_MOST: Final = 20_000
"""Figures kept, about 2 MB; a matrix of the whole catalogue has some 2,000."""
_BATCH_S: Final = 2.0
"""New figures of so many seconds are written together."""
_WAIT_S: Final = 0.5
"""How long another program may hold the file."""
_NAME: Final = "compute-buffers-{rules}.sqlite"
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS buffers"
    " (identity BLOB PRIMARY KEY, sizes TEXT NOT NULL, crc INTEGER NOT NULL)"
)


_SHIPPED: Final = "compute-buffers.txt"


def write_shipped(folder: Path, figures: Mapping[bytes, Sizes]) -> None:
    """Write figures into the data folder of a packed program."""
    lines = (f"{name.hex()} {' '.join(map(str, sizes))}\n" for name, sizes in figures.items())
    (folder / _SHIPPED).write_text("".join(sorted(lines)), encoding="ascii")


def shipped() -> dict[bytes, Sizes]:
    """What a packed program brought; its own code and data made them. Empty for others."""
    known: dict[bytes, Sizes] = {}
    if getattr(sys, "frozen", False):
        # A damaged or missing file costs a few seconds, nothing else.
        with contextlib.suppress(OSError, ValueError):
            for line in resources.path(_SHIPPED).read_text(encoding="ascii").splitlines():
                name, *sizes = line.split()
                known[bytes.fromhex(name)] = tuple(map(int, sizes))
    return known


@contextlib.contextmanager
def keeping() -> Generator[None]:
    """Keep figures for as long. Nothing is read before the first is asked for."""
    kept = KeptBuffers()
    recall.keep_in(kept)
    try:
        yield
    finally:
        recall.keep_in(None)
        kept.write()


def rules() -> str:
    """Equal for programs that compute alike: a digest of their code.

    A packed program has no sources; its file is another one with every build.
    """
    digest = blake2b(digest_size=8)
    if getattr(sys, "frozen", False):
        built = Path(sys.executable).stat()
        digest.update(f"{built.st_size} {built.st_mtime_ns}".encode())
    else:
        here = Path(__file__).parent
        for file in sorted(f for part in ("sizing", "llm") for f in (here / part).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


class KeptBuffers:
    """One file of figures, read once. Several programs may share it; what fails is left out."""

    def __init__(
        self, folder: Path | None = None, of: str | None = None, most: int = _MOST
    ) -> None:
        """``folder``: instead of the user's cache. ``of``: instead of ``rules()``."""
        self._folder = folder
        self._of = of
        self._most = most
        self._file: Path | None = None
        self._known: dict[bytes, Sizes] | None = None
        self._new: dict[bytes, Sizes] = {}
        self._since = 0.0
        self._lock = threading.Lock()

    def everything(self) -> Mapping[bytes, Sizes]:
        """What was kept when the file was read, which is at the first look."""
        known = self._known
        if known is None:
            with self._lock:
                known = self._known
                if known is None:
                    known = self._known = self._read()
        return known

    def get(self, identity: bytes) -> Sizes | None:
        """The figures kept under this identity."""
        return self.everything().get(identity)

    def put(self, identity: bytes, sizes: Sizes) -> None:
        """Keep figures; they are written with the next ones, or at the end."""
        with self._lock:
            if not self._new:
                self._since = time.monotonic()
            self._new[identity] = sizes
            due = time.monotonic() - self._since > _BATCH_S
        if due:
            self.write()

    def write(self) -> None:
        """Write what is new; what another program is in the way of stays new."""
        with self._lock:
            if not self._new or self._file is None:
                return
            texts = {name: " ".join(map(str, sizes)) for name, sizes in self._new.items()}
            rows = [(name, text, _check(name, text)) for name, text in texts.items()]
            self._since = time.monotonic()
            with self._dropping(), closing(self._opened(self._file)) as file, file:
                file.execute(_TABLE)
                file.executemany("INSERT OR REPLACE INTO buffers VALUES (?, ?, ?)", rows)
                file.execute(
                    "DELETE FROM buffers WHERE rowid <= (SELECT MAX(rowid) FROM buffers) - ?",
                    (self._most,),
                )
                self._new = {}

    def _read(self) -> dict[bytes, Sizes]:
        known = shipped()
        with self._dropping():
            folder = self._folder or paths.cache()
            self._file = folder / _NAME.format(rules=self._of or rules())
            for other in folder.glob(_NAME.format(rules="*")):
                if other != self._file:
                    with contextlib.suppress(OSError):
                        other.unlink()
            if self._file.exists():
                with closing(self._opened(self._file)) as file:
                    for name, text, check in file.execute("SELECT * FROM buffers"):
                        if check == _check(name, text):
                            known[name] = tuple(int(size) for size in text.split())
        return known

    @staticmethod
    def _opened(file: Path) -> sqlite3.Connection:
        return sqlite3.connect(file, timeout=_WAIT_S)

    @contextlib.contextmanager
    def _dropping(self) -> Generator[None]:
        """Go on without figures that cannot be read or written; a damaged file is deleted."""
        try:
            yield
        except (sqlite3.OperationalError, OSError):
            # Held by another program, or no room, or no permission.
            pass
        except (sqlite3.Error, ValueError, TypeError):
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.unlink()


def _check(identity: bytes, sizes: str) -> int:
    return crc32(identity + sizes.encode())
