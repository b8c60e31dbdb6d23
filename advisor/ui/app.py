"""Start of the window: safety net, fonts, colours, first paint; everything heavy comes after."""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Final

from PySide6.QtCore import QSettings, Qt, QThreadPool
from PySide6.QtGui import QGuiApplication, QIcon
from PySide6.QtWidgets import QApplication

from advisor import __version__, paths, resources
from advisor.ui import crash, design, leaving, recolour
from advisor.ui.pauses import Collector
from advisor.ui.window import MainWindow

_reporter: crash.CrashReporter | None = None
THEME_KEY: Final = "window/theme"


def preferences() -> QSettings:
    """The window's own settings: size, theme, last page. Sessions are files of their own."""
    return QSettings(str(paths.config() / "window.ini"), QSettings.Format.IniFormat)


def run(argv: list[str]) -> int:
    """Show the window and return when it was closed. ``argv``: at most one file to open."""
    global _reporter  # noqa: PLW0603 - must live as long as the process
    app = create(sys.argv[:1])
    crash.start_logging()
    _reporter = crash.CrashReporter()
    _reporter.install()
    window = MainWindow(preferences(), open_first=Path(argv[0]) if argv else None)
    window.show()
    destroyed, signals = leaving.DestroyedWindow(window), leaving.Signals(window)
    app.installNativeEventFilter(destroyed)
    collector = Collector(app)
    with contextlib.ExitStack() as kept:

        def keep_figures() -> None:
            from advisor import kept_buffers  # noqa: PLC0415 - the window must not wait for it

            kept.enter_context(kept_buffers.keeping())

        window.load_after_first_paint(keep_figures)
        try:
            code = app.exec()
        finally:
            collector.stop()
            signals.stop()
            app.removeNativeEventFilter(destroyed)
    _leave_what_hangs(code)
    return code


def _leave_what_hangs(code: int) -> None:
    """End the process when work that was cancelled is still at it.

    A call into a driver cannot be interrupted, and Qt would wait for its thread: minutes, should
    every call be slow. What the person did is saved by now.
    """
    if QThreadPool.globalInstance().activeThreadCount() == 0:
        return
    import psutil  # noqa: PLC0415 - the window must not wait for it

    logging.getLogger(__name__).warning("left while work was still going on")
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
    logging.shutdown()
    os._exit(code)


def create(arguments: list[str]) -> QApplication:
    """The application object with the design applied; it follows the desktop's light and dark."""
    app = QApplication(arguments)
    app.setApplicationName("rig-advisor")
    app.setApplicationDisplayName("Rig Advisor")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("rig-advisor")
    icon = QIcon()
    for size in (16, 32, 48, 64, 128, 256, 512):
        icon.addFile(str(resources.path("icons", f"rig-advisor-{size}.png")))
    app.setWindowIcon(icon)
    design.load_fonts()
    saved = preferences().value(THEME_KEY)
    design.apply(app, design.wanted_scheme(saved if isinstance(saved, str) else None))
    app.styleHints().colorSchemeChanged.connect(lambda _scheme: _follow_desktop())
    QGuiApplication.setAttribute(Qt.ApplicationAttribute.AA_DontShowIconsInMenus)
    return app


def _follow_desktop() -> None:
    app = QApplication.instance()
    saved = preferences().value(THEME_KEY)
    scheme = design.wanted_scheme(saved if isinstance(saved, str) else None)
    if isinstance(app, QApplication) and scheme == "system":
        recolour.change(app, scheme)
