"""Lists of folders that the user named, newest first, each kept in a file of the settings."""

import json
from pathlib import Path
from typing import Any

from advisor import paths
from advisor.files import write_atomically


class FolderList:
    """The folders in ``name`` of the configuration folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def named(self) -> tuple[Path, ...]:
        """The folders, newest first; a file that cannot be read holds none."""
        try:
            found: Any = json.loads(self._file().read_bytes())
            return tuple(Path(name) for name in found if isinstance(name, str))
        except (OSError, ValueError, TypeError):
            return ()

    def add(self, folder: Path) -> None:
        """Put a folder first. Raises OSError where that cannot be kept."""
        self._keep((folder, *(known for known in self.named() if known != folder)))

    def forget(self, folder: Path) -> None:
        """Leave a folder out. Raises OSError where that cannot be kept."""
        self._keep(tuple(known for known in self.named() if known != folder))

    def _file(self) -> Path:
        return paths.config() / self._name

    def _keep(self, folders: tuple[Path, ...]) -> None:
        write_atomically(self._file(), json.dumps([str(f) for f in folders], indent=1).encode())
