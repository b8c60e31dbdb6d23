"""Bugs are told, not swallowed: a log file, a trace for hard crashes, a window with the details.

Nothing is sent anywhere. Expected failures never come here; they are banners in the pages.
"""

import contextlib
import faulthandler
import logging
import platform
import sys
import threading
import traceback
from logging.handlers import RotatingFileHandler
from types import TracebackType
from typing import Final

from PySide6.QtCore import (
    QMessageLogContext,
    QObject,
    Qt,
    QtMsgType,
    Signal,
    qInstallMessageHandler,
)
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QPlainTextEdit

from advisor import __version__, paths
from advisor.ui import design
from advisor.ui.widgets.basics import button, column, row, text

log: Final = logging.getLogger("advisor")
_QT_LEVELS: Final = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def start_logging() -> None:
    """Log to a file of bounded size; hard crashes leave a trace beside it.

    Where neither can be written, as on a full disk, both go to standard error.
    """
    folder = paths.logs()
    handler: logging.Handler = logging.StreamHandler()
    with contextlib.suppress(OSError):
        handler = RotatingFileHandler(
            folder / "rig-advisor.log", maxBytes=1 << 20, backupCount=2, encoding="utf-8"
        )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        faulthandler.enable((folder / "crash.log").open("a", encoding="utf-8"))
    except OSError:
        with contextlib.suppress(RuntimeError):  # a windowed program may have none
            faulthandler.enable()
    qInstallMessageHandler(_qt_message)


def _qt_message(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
    logging.getLogger("qt").log(
        _QT_LEVELS.get(kind, logging.INFO), "%s (%s)", message, context.category
    )


class CrashReporter(QObject):
    """Takes uncaught exceptions of every thread and shows one window for them."""

    _happened = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._dialog: CrashDialog | None = None
        self._happened.connect(self._show, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """From now on."""
        sys.excepthook = self._uncaught
        threading.excepthook = lambda args: self._uncaught(
            args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
        )

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QGuiApplication.quit()
            return
        details = "".join(traceback.format_exception(kind, error, trace))
        log.error("uncaught exception\n%s", details)
        self._happened.emit(details)

    def _show(self, details: str) -> None:
        if self._dialog is not None and self._dialog.isVisible():
            return  # the first one is the cause; the log has them all
        self._dialog = CrashDialog(details)
        self._dialog.show()


def report_text(details: str) -> str:
    """What a bug report needs: versions and the trace. No file names but the program's own."""
    return (
        f"Rig Advisor {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
        f"{details}"
    )


class CrashDialog(QDialog):
    """Says that it was a bug, shows exactly what a report would hold, and lets it be copied."""

    def __init__(self, details: str) -> None:
        super().__init__()
        self.setWindowTitle(self.tr("Rig Advisor: something went wrong"))
        self.resize(720, 460)
        self.details = QPlainTextEdit(report_text(details))
        self.details.setReadOnly(True)
        self.details.setFont(design.mono())
        self.details.setAccessibleName(self.tr("Details of the error"))
        sentence = self.tr(
            "This is a bug in Rig Advisor. Your session is saved; the app goes on as well as it "
            "can. Nothing was sent: copy the details if you want to report it. The log is in "
            "{folder}."
        ).format(folder=paths.logs())
        close = button(self.tr("Close"), self.accept, "primary")
        layout = column(
            text(self.tr("Something went wrong"), "headline"),
            text(sentence, "muted", wrap=True),
            self.details,
            row(button(self.tr("Copy details"), self._copy), None, close),
            spacing=12,
        )
        layout.setContentsMargins(18, 16, 18, 16)
        self.setLayout(layout)
        design.dress(self)
        close.setFocus()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.details.toPlainText())
