"""The session in question as the window sees it: one ``AppState`` with typed signals, no rules.

Everything that a person chose or measured is ``state.session`` (immutable). How it changes and what
follows from it is ``Asked``; here it is a document.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QThreadPool, QTimer, Signal

from advisor import session as sessions
from advisor.report.provenance import outcome, stamped
from advisor.session import Restored, Session
from advisor.ui import opening
from advisor.ui.asked import Asked
from advisor.ui.jobs import Job, run_task

AUTOSAVE_MS: Final = 1500
WRITING_MS: Final = 10_000
"""So long a window that closes waits for the disk."""


class AppState(Asked):
    """The question as a document: begun, opened, saved, and kept while one works."""

    session_replaced = Signal()
    """Another session was opened; follows after all other signals of it."""
    session_begun = Signal()
    """Nothing was chosen or measured in it yet."""
    saved = Signal(Path)
    """The session was written where the user asked."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._seen: str | None = None
        """Fingerprint of the session's file when it was last read or written here."""
        self._writer = QThreadPool(self)
        """Files are written off the GUI thread and one after the other."""
        self._writer.setMaxThreadCount(1)
        self._autosave = sessions.Autosave()
        self._autosave_timer = QTimer(self, singleShot=True, interval=AUTOSAVE_MS)
        self._autosave_timer.timeout.connect(self.autosave)
        self.to_keep.connect(self._autosave_timer.start)

    def begin_session(self) -> None:
        """A new session in place of the present one."""
        self.replace_session(Session(), None)
        self.session_begun.emit()

    def replace_session(
        self, session: Session, path: Path | None, *, seen: str | None = None
    ) -> None:
        """Another document is in question now; ``seen`` is its file's fingerprint.

        What was changed and not saved is kept in a file among the recent ones.
        """
        if self.modified and _worth_keeping(self.session):
            self._put_aside(self._kept())
        self.session, self.path, self.modified = session, path, False
        self._seen = seen
        self._advice = None
        self.history.clear()
        self.model = None
        self.plan = None
        self._come_home()
        for signal in (
            self.rig_changed,
            self.model_changed,
            self.settings_changed,
            self.usage_changed,
            self.results_changed,
            self.session_replaced,
            self.file_changed,
        ):
            signal.emit()
        self._autosave_timer.start()
        self._plan_anew()

    def open_file(self, path: Path) -> None:
        """Open a session, a report that carries one, a model, a rig or a folder of models."""
        self._open(lambda: opening.open_anything(path), path)

    def size_in_every_file_type(self) -> None:
        """Ask about the GGUF file in question as if it were not quantized yet."""
        path = None if self.model is None else self.model.path
        if path is not None:
            self._open(lambda: opening.in_every_file_type(path), path)

    def _open(self, work: Callable[[], opening.Opened], path: Path) -> None:
        def done(opened: opening.Opened) -> None:
            if opened.session is not None:
                own = path if opened.file is not None else None
                self.replace_session(opened.session, own, seen=opened.file)
            elif opened.rig is not None:
                self.set_rig(opened.rig)
            elif opened.model is not None:
                self.choose_model(opened.model)
                self.show_page("fit")
                if opened.added:
                    words = self.tr("{name} is in the catalogue now, in every file type")
                    self.noticed.emit(words.format(name=opened.added))
            elif opened.projector is not None:
                self._add_projector(opened.projector)
            elif opened.folder is not None:
                name = opened.folder.name
                self.noticed.emit(
                    self.tr("Models are looked for in “{name}” too").format(name=name)
                )
                self.model_wanted.emit()

        run_task(
            lambda _job: work(),
            on_result=done,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
        )

    def _add_projector(self, path: str) -> None:
        """What lets a model see or hear is no model: it goes beside the one in question."""
        name = Path(path).name
        if self.choice is None:
            words = self.tr(
                "{name} is a projector, which lets a model see or hear. Choose its model first, "
                "then open it again."
            )
            self.failed.emit(words.format(name=name))
            return
        self.change_settings(mmproj=path)
        self.show_page("fit")
        words = self.tr("{name} is loaded with {model} now; Settings on Fit remove it")
        model = self.model.name if self.model is not None else Path(self.choice.model).name
        self.noticed.emit(words.format(name=name, model=model))

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write the session; ``saved`` or ``failed`` follows.

        What another window wrote to the session's file since is replaced only where asked.
        """
        asked, written, replace = self.session, self._record(), replace or path != self.path
        seen = self._seen

        def done(opened: opening.Opened) -> None:
            self.path, self._seen = path, opened.file
            if self.session is asked and opened.session is not None:
                self.modified = False
                self.session = opened.session.model_copy(update={"rig": asked.rig})
            self._autosave_timer.start()
            self.file_changed.emit()
            self.saved.emit(path)

        run_task(
            lambda _job: opening.save_session(written, path, seen=seen, replace=replace),
            on_result=done,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
            pool=self._writer,
        )

    def _record(self) -> Session:
        """The session as a file holds it: with the rig as it was read, and what followed."""
        written = stamped(self.session, self.rig, self.present_plan, self._advice)
        if self._advice is None and self.session.outcome is not None:
            # Nothing was worked out anew: what it was opened with still belongs to it.
            return written.model_copy(update={"outcome": self.session.outcome})
        return written

    def _kept(self) -> Session:
        """The session as it is, to go on with: what it was opened with stays to compare with."""
        if self.session.outcome is not None:
            return self.session
        return self.session.model_copy(update={"outcome": outcome(self.present_plan, self._advice)})

    def autosave(self) -> None:
        """Keep the session as it is; a full disk is told once per change."""
        kept, file, seen, modified = self._kept(), self.path, self._seen, self.modified
        run_task(
            lambda _job: self._autosave.save(kept, file=file, seen=seen, modified=modified),
            on_result=lambda _none: None,
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
            pool=self._writer,
        )

    def _put_aside(self, session: Session) -> None:
        def work(_job: Job) -> None:
            sessions.remember_file(self._autosave.put_aside(session))

        run_task(
            work,
            on_result=lambda _none: self.noticed.emit(
                self.tr("The session before was not saved; it is kept under “Open recent”.")
            ),
            on_error=lambda error: self.failed.emit(str(error)),
            owner=self,
            pool=self._writer,
        )

    def restore(self) -> Job:
        """Take up the session of the last window that ended."""

        def done(left: Restored) -> None:
            if left.problem:
                self.failed.emit(left.problem)
            if left.session is not None:
                self.replace_session(left.session, left.file, seen=left.seen)
                self.modified = left.modified
                self.file_changed.emit()
            if left.session is None or not _worth_keeping(left.session):
                self.session_begun.emit()

        return run_task(lambda _job: self._autosave.restore(), on_result=done, owner=self)

    def close(self) -> None:
        """The window closes: nothing may run on, and the session is kept."""
        self._replan.stop()
        if self._autosave_timer.isActive():
            self._autosave_timer.stop()
            self.autosave()
        self._writer.waitForDone(WRITING_MS)
        if self._job is not None:
            self._job.cancel()


def _worth_keeping(session: Session) -> bool:
    """Whether somebody chose, measured or wrote something."""
    return bool(
        session.model or session.scenario or session.probes or session.title or session.note
    )
