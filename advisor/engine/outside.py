"""What a llama.cpp of the user's must not get from this app: settings, and our bundled libraries.

A frozen app finds its libraries through the environment (Linux) or through a setting of its process
(Windows), and a child inherits both (PyInstaller's manual, "Launching external programs from the
frozen application").
"""

import contextlib
import sys
import threading
from collections.abc import Generator, Mapping
from typing import Final

_PATHS: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH")
_OURS: Final = ("_PYI_", "_MEIPASS2")
"""How the environment names what PyInstaller tells its own children."""
_starting: Final = threading.Lock()
NO_WINDOW: Final = 0x08000000 if sys.platform == "win32" else 0
"""CREATE_NO_WINDOW, for Popen: a program of the console would open one beside our window."""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that is not ours.

    Settings (``LLAMA_ARG_*``) must not change what is asked for; of library paths the user's own
    stays, which PyInstaller keeps in ``*_ORIG``.
    """
    cleaned = {k: v for k, v in environment.items() if not k.startswith("LLAMA_ARG_")}
    if not getattr(sys, "frozen", False):
        return cleaned
    cleaned = {k: v for k, v in cleaned.items() if not k.startswith(_OURS)}
    for name in _PATHS:
        original = cleaned.pop(f"{name}_ORIG", None)
        cleaned.pop(name, None)
        if original is not None:
            cleaned[name] = original
    return cleaned


def by_slot(environment: Mapping[str, str]) -> dict[str, str]:
    """With CUDA counting cards by their slots, as NVML does, and with it this app.

    CUDA's own order is the fastest first. Where the user names cards by their numbers, these keep
    their meaning.
    """
    if "CUDA_VISIBLE_DEVICES" in environment:
        return dict(environment)
    return {**environment, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@contextlib.contextmanager
def without_our_libraries() -> Generator[None]:
    """Windows: a program that is started in here does not look for libraries in our folder.

    The setting (SetDllDirectory) is the process's own, so one program is started at a time.
    """
    if sys.platform != "win32" or not getattr(sys, "frozen", False):
        yield
        return
    import ctypes  # noqa: PLC0415 - needed on Windows alone

    kernel = ctypes.WinDLL("kernel32")
    kernel.SetDllDirectoryW.argtypes = (ctypes.c_wchar_p,)
    with _starting:
        kernel.SetDllDirectoryW(None)
        try:
            yield
        finally:
            kernel.SetDllDirectoryW(getattr(sys, "_MEIPASS", None))
