"""Sessions survive: damaged and newer files, full disks, several windows, a trip through a PDF."""

import contextlib
import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader
from PySide6.QtGui import QGuiApplication
from tiny import dense

from advisor import paths
from advisor import session as sessions
from advisor.errors import ReportError, SessionError
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Host, Process
from advisor.llm.ghost import write_ghost
from advisor.probe.result import ProbeResult
from advisor.report import gather
from advisor.report.build import ReportOptions, build
from advisor.report.document import Document, Paragraph
from advisor.report.pdf import write_pdf
from advisor.report.provenance import stamped
from advisor.session import Autosave, ModelChoice, Restored, Session, autosave
from advisor.sizing.settings import RunSettings


def filled() -> Session:
    return Session(
        title="For the lab",
        model=ModelChoice(model="Qwen/Qwen3-8B", file_type="Q4_K_M"),
        settings=RunSettings(ctx=16384, ctk="q8_0"),
    )


def test_a_session_opens_as_it_was_saved(tmp_path: Path) -> None:
    target = tmp_path / "lab.rig.json"
    saved = sessions.save(filled(), target)
    assert sessions.load(target) == saved
    assert saved.settings.ctk == "q8_0"


def test_a_report_opens_as_its_session(qapp: QGuiApplication, tmp_path: Path) -> None:
    document = Document(
        title="T", made=datetime.now(UTC), app_version="1", blocks=(Paragraph(text="x"),)
    )
    target = tmp_path / "report.pdf"
    write_pdf(document, target, session=filled().to_json())
    assert sessions.load(target).title == "For the lab"
    write_pdf(document, target, archival=True)
    with pytest.raises(SessionError, match="carries no Rig Advisor session"):
        sessions.load(target)


def test_a_damaged_report_gets_a_sentence_whatever_is_broken(
    qapp: QGuiApplication, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.pdf", tmp_path / "broken.pdf"
    made = datetime(2026, 11, 23, tzinfo=UTC)
    paragraph = Paragraph(text="x")
    document = Document(title="x", made=made, app_version="1", blocks=(paragraph,))
    write_pdf(document, whole, session=Session(title="Mine").to_json())
    content = whole.read_bytes()
    chance = random.Random(8)
    for _ in range(120):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 30)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        broken.write_bytes(damaged[: chance.randint(1, 2 * len(damaged))])
        with contextlib.suppress(SessionError):
            sessions.load(broken)


def test_a_report_tells_others_nothing_of_the_machine_s_owner(
    qapp: QGuiApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "sofia"
    (home / "models").mkdir(parents=True)
    model = write_ghost(dense(), home / "models", header_only=True).path
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    card = parse_rig("RTX 4090 + 64 GB DDR5-5600").devices[0]
    held = (Process(pid=987654321, name="browser-of-sofia", memory=1 << 28),)
    own = {"uuid": "GPU-6f1d-77", "pci_address": "0000:c1:00.0", "processes": held}
    rig = parse_rig("RTX 4090 + 64 GB DDR5-5600").model_copy(
        update={
            "devices": (card.model_copy(update={**own, "memory_used": 1 << 28}),),
            "hosts": (Host(name="sofias-box", disk_path="/mnt/sofia", ram_total=64 << 30),),
            "imagined": False,
        }
    )
    recorded = Path(__file__).parent / "data" / "report" / "probe.json"
    probe = ProbeResult.model_validate_json(recorded.read_bytes())
    ending = probe.ending.model_copy(update={"state": "failed", "detail": f"cannot open {model}"})
    update = {"rig": rig, "path": model, "ending": ending}
    probe = probe.model_copy(update=update)
    session = Session(rig=rig, model=ModelChoice(model=str(model)), probes=(probe,))
    at = datetime(2026, 11, 23, tzinfo=UTC)
    found = gather.findings(session, rig, at)
    made = build(session, found, ReportOptions.of(session), at)
    carried = stamped(session, rig, found.plan, found.advice)
    write_pdf(made, tmp_path / "report.pdf", session=sessions.for_others(carried).to_json())

    reader = PdfReader(tmp_path / "report.pdf")
    (held_session,) = reader.attachments[sessions.ATTACHMENT_NAME]
    told = held_session.decode() + "".join(page.extract_text() for page in reader.pages)
    for secret in ("sofia", "987654321", "GPU-6f1d", "c1:00", str(tmp_path)):
        assert secret not in told
    again = sessions.load(tmp_path / "report.pdf")
    assert again.model == session.model
    assert again.probes[0].path == model
    assert again.rig is not None
    anew = dataclasses.replace(found, rig=again.rig, probe=again.probes[0])
    assert build(again, anew, ReportOptions.of(again), at) == made


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not json", "is damaged or was cut off"),
        (b"", "is empty"),
        (b"[" * 5000, "is damaged or was cut off"),
        (b"[1]", "is not a Rig Advisor session"),
        (b'{"version": "x"}', "is not a Rig Advisor session"),
        (b'{"version": 99, "app_version": "9.9"}', r"newer Rig Advisor \(9\.9\)"),
        (b'{"version": 1, "settings": {"ctx": -1}}', "is damaged: settings → ctx"),
        (b"%PDF-1.4 broken", "could not be read as a PDF with a session"),
    ],
)
def test_a_bad_file_gets_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    target = tmp_path / "bad.rig.json"
    target.write_bytes(content)
    with pytest.raises(SessionError, match=message):
        sessions.load(target)
    assert target.read_bytes() == content


@given(st.binary(max_size=300))
def test_no_content_gets_past_as_anything_but_an_error(content: bytes) -> None:
    with pytest.raises(SessionError):
        sessions.loads(b"x" + content)


def test_older_documents_are_brought_up_step_by_step() -> None:
    steps = {1: lambda f: {"b": f["a"]}, 2: lambda f: {**f, "c": f["b"] + 1}}
    assert sessions.migrate({"version": 1, "a": 5}, steps) == {"version": 3, "b": 5, "c": 6}


def test_a_failed_save_keeps_the_previous_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "lab.rig.json"
    sessions.save(filled(), target)
    before = target.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SessionError, match="No space left on device"):
        sessions.save(filled(), target)
    assert target.read_bytes() == before
    assert list(tmp_path.glob("*.tmp")) == []


def test_two_windows_do_not_share_an_autosave(tmp_path: Path) -> None:
    first, second = Autosave(tmp_path), Autosave(tmp_path)
    first.save(Session(title="first"))
    second.save(Session(title="second"))
    assert sessions.load(first.path).title == "first"
    # Both windows are alive, so a third has nothing to take over.
    assert Autosave(tmp_path).restore() == Restored()


def test_the_session_of_a_window_that_died_is_restored_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from advisor.session import Autosave, Session; "
        "Autosave(Path(sys.argv[1])).save(Session(title='lost'))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    left = Autosave(tmp_path).restore()
    assert left.session is not None
    assert (left.session.title, left.problem) == ("lost", None)
    assert Autosave(tmp_path).restore() == Restored()


def test_a_damaged_autosave_is_kept_and_reported(tmp_path: Path) -> None:
    damaged = tmp_path / "autosave-1234abcd-999999999.rig.json"
    damaged.write_text("{")
    left = Autosave(tmp_path).restore()
    assert left.session is None
    assert left.problem is not None
    assert "A copy is kept" in left.problem
    assert [p.read_text() for p in tmp_path.iterdir()] == ["{"]


def test_a_window_that_died_leaves_its_file_s_name_and_what_it_lacks(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from advisor.session import Autosave, Session; "
        "Autosave(Path(sys.argv[1])).save(Session(), file=Path('lab.rig.json'), seen='f00')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    left = Autosave(tmp_path).restore()
    assert (left.file, left.seen, left.modified) == (Path("lab.rig.json"), "f00", True)


def test_sessions_put_aside_are_kept_up_to_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autosave, "KEPT_ASIDE", 2)
    mine = Autosave(tmp_path)
    kept = [mine.put_aside(Session(title=f"{n}: a/b?")) for n in range(3)]
    assert [path.exists() for path in kept].count(True) == 2
    assert "a b" in kept[2].name
    assert Autosave(tmp_path).restore() == Restored()
    newest = max(tmp_path.iterdir())
    assert sessions.load(newest).title.endswith("a/b?")


def test_recent_files_are_newest_first(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.rig.json" for n in range(12)]
    for file in files:
        sessions.remember_file(file)
    assert sessions.recent_files() == tuple(reversed(files[2:]))
    sessions.remember_file(files[5])
    sessions.forget_file(files[11])
    assert sessions.recent_files()[:2] == (files[5], files[10])
    (paths.config() / "recent" / "damaged.json").write_text('{"path": 1')
    assert sessions.recent_files()[:2] == (files[5], files[10])


def test_two_processes_that_remember_files_at_once_lose_none_of_each_other_s(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path; from advisor import session\n"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
        "for n in range(5): session.remember_file(Path(sys.argv[1]) / f'{sys.argv[2]}{n}')"
    )
    windows = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for window in windows:
        assert window.stdout is not None
        assert window.stdout.readline() == "ready\n"
    for window in windows:
        window.communicate("go\n", timeout=60)
    names = [path.name for path in sessions.recent_files()]
    assert set(names) == {f"{name}{n}" for name in "ab" for n in range(5)}
    for name in "ab":
        assert [n for n in names if n[0] == name] == [f"{name}{n}" for n in reversed(range(5))]


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_opens_and_is_kept_when_it_is_saved_over(
    tmp_path: Path, version: int
) -> None:
    target = tmp_path / "lab.rig.json"
    fields = json.loads(filled().to_json())
    del fields["outcome"]
    data = sessions.DataVersions.current().model_dump()
    price = {"name": "RTX 4090", "low": "1", "mid": "2", "high": "3"}
    held = {**fields, "version": version, "data": data, "prices": [price]}
    old = json.dumps(held).encode()
    target.write_bytes(old)
    opened = sessions.load(target)
    assert (opened.title, opened.version) == ("For the lab", sessions.VERSION)
    if version == 1:
        assert opened.outcome is None
    else:
        assert opened.outcome is not None
        assert [p.name for p in opened.outcome.prices] == ["RTX 4090"]
        assert opened.outcome.made == opened.modified
    saved = sessions.save(opened, target)
    assert (tmp_path / f"lab.rig.json.v{version}.bak").read_bytes() == old
    sessions.save(saved, target)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b'{"version": 99}', ["lab.rig.json.v99.bak"]),
        (b'{"half', ["lab.rig.json.bak"]),
        (b"", ["lab.rig.json.bak"]),
    ],
)
def test_what_is_saved_over_and_is_no_session_of_ours_is_kept(
    tmp_path: Path, content: bytes, names: list[str]
) -> None:
    target = tmp_path / "lab.rig.json"
    target.write_bytes(content)
    sessions.save(filled(), target)
    assert [p.name for p in tmp_path.iterdir() if p != target] == names
    target.write_bytes(content + b" ")
    sessions.save(filled(), target)
    assert {p.read_bytes() for p in tmp_path.iterdir()} >= {content, content + b" "}


@given(st.integers(0, 400))
def test_a_file_cut_off_anywhere_gets_a_sentence_and_stays(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    target = tmp_path_factory.mktemp("cut") / "lab.rig.json"
    content = filled().to_json().encode()[: -1 - cut]
    target.write_bytes(content)
    with pytest.raises(SessionError, match=r"lab\.rig\.json is (damaged or was cut off|empty)"):
        sessions.load(target)
    assert target.read_bytes() == content


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_really_full_or_protected_disk_leaves_the_previous_files(
    qapp: QGuiApplication, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None:
        pytest.skip("cannot mount here")
    small = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(small, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        target = disk / "lab.rig.json"
        sessions.save(filled(), target)
        before = target.read_bytes()
        with pytest.raises(SessionError, match="No space left"):
            sessions.save(filled().model_copy(update={"note": "x" * 100_000}), target)
        document = Document(
            title="T", made=datetime.now(UTC), app_version="1", blocks=(Paragraph(text="x"),)
        )
        with pytest.raises(ReportError, match="No space left"):
            write_pdf(document, disk / "report.pdf", session="y" * 100_000)
        assert [(p.name, p.read_bytes()) for p in disk.iterdir()] == [("lab.rig.json", before)]
        write_pdf(document, disk / "report.pdf")
        report = (disk / "report.pdf").read_bytes()
        subprocess.run([mount, "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(SessionError, match="Read-only"):
            sessions.save(filled(), target)
        with pytest.raises(ReportError, match=r"Read-only.*choose another folder"):
            write_pdf(document, disk / "report.pdf")
        kept = {p.name: p.read_bytes() for p in disk.iterdir()}
        assert kept == {"lab.rig.json": before, "report.pdf": report}
    finally:
        subprocess.run([unmount, str(disk)], check=True)
