"""Files are replaced whole, as what they are, or not at all."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.engine.builds import programs
from advisor.errors import BadModelFile
from advisor.files import is_file, is_folder, is_missing, write_atomically
from advisor.llm.ghost import remove_stale
from advisor.llm.local_files import local_files
from advisor.llm.open import load
from advisor.probe.store import identities
from advisor.session import Autosave, Restored, recent_files

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions and devices of POSIX")


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.pdf"
    write_atomically(target, b"one")
    write_atomically(target, b"two")
    assert [(p, p.read_bytes()) for p in target.parent.iterdir()] == [(target, b"two")]


@posix
def test_permissions_are_the_usual_ones_or_those_that_were(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "a", b"one")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode
    (tmp_path / "a").chmod(0o640)
    write_atomically(tmp_path / "a", b"two")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@posix
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", b"two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"two"


def test_a_write_protected_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(PermissionError, match="write-protected"):
        write_atomically(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 1


@posix
def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, b"x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device"):
        write_atomically(tmp_path / "pipe", b"x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files may not even be looked at, by root neither."""
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF")
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)


@posix
def test_what_may_not_be_looked_at_is_neither_there_nor_missing(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = closed / "model.gguf"
    with pytest.raises(PermissionError):
        model.stat()
    assert [told for told in (is_file, is_folder, is_missing) if told(model)] == []
    assert programs((closed,), {}, closed) == []
    monkeypatch.setenv("RIG_ADVISOR_HOME", str(closed))
    assert (identities(), recent_files(), remove_stale(closed)) == ([], (), 0)
    assert Autosave().restore() == Restored()
    assert local_files([closed], known=[("Ollama", closed)]) == ()
    with pytest.raises(BadModelFile, match=r"model\.gguf cannot be read: Permission denied"):
        load(str(model))
