"""Writing a file whole or not at all, and asking for one in folders that may be closed to us."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def is_file(path: Path) -> bool:
    """Whether a file can be seen there; ``Path.is_file`` raises where a folder may not be read."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder can be seen there."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_missing(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at is not missing."""
    try:
        return not path.exists()
    except OSError:
        return False


def listed(folder: Path, pattern: str) -> list[Path]:
    """What a folder holds by its pattern, in order; nothing where it may not be looked at."""
    return sorted(folder.glob(pattern)) if is_folder(folder) else []


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or raise OSError and leave it as it was.

    The content is written beside the target and moved into place, so a full disk, a crash or a
    reader in between never sees half a file. A link stays one, a file keeps its permissions, a new
    one gets the usual ones; what is write-protected, or no file, is refused.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = _mode_of(path)
    temporary = path.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, _NEW, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if mode is not None:
            with contextlib.suppress(OSError):
                temporary.chmod(mode)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _mode_of(path: Path) -> int | None:
    """Permissions of the file to be replaced; None where there is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
    if not mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, "the file is write-protected", str(path))
    return stat.S_IMODE(mode)
