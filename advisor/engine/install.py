"""How to get a llama.cpp that can use a GPU, on this system. Pure.

The names of the files are those that .github/workflows/release.yml of b11434 packs; winget and
Homebrew are in its docs/install.md.
"""

import platform
import sys
from typing import Final

from advisor.hardware.rig import Backend

RELEASES: Final = "https://github.com/ggml-org/llama.cpp/releases"
_NAMES: Final = {"cuda": "CUDA", "rocm": "ROCm", "sycl": "SYCL"}
_CUDA: Final = " (CUDA 13 needs driver 580 or newer, else take CUDA 12)"


def title(backend: Backend) -> str:
    """A backend as people write it."""
    return _NAMES.get(backend, backend.capitalize())


def instruction(backend: Backend, *, system: str = sys.platform, machine: str | None = None) -> str:
    """What to do to get a llama.cpp with a backend (``"cpu"``: any), as sentences."""
    if system == "darwin":
        return "Run “brew install llama.cpp” in a terminal, then look again."
    arm = (machine or platform.machine()).lower() in {"arm64", "aarch64"}
    cpu = "arm64" if arm else "x64"
    windows = system == "win32"
    place = "win" if windows else "ubuntu"
    ending = "zip" if windows else "tar.gz"
    parts = {
        "cuda": f"{place}-cuda-…-{cpu}",
        "rocm": f"{place}-rocm-…-{cpu}",
        "sycl": "win-sycl-x64" if windows else "ubuntu-sycl-fp16-x64",
        "cpu": f"win-cpu-{cpu}" if windows else f"ubuntu-{cpu}",
    }
    file = f"llama-b…-bin-{parts.get(backend, f'{place}-vulkan-{cpu}')}.{ending}"
    into = "unpack it into your Downloads folder"
    if backend == "cuda":
        file += f" and the cudart file of the same CUDA version{_CUDA}"
        into = "unpack both into one folder “llama-b…” in your Downloads folder"
    words = f"Download {file} from {RELEASES}, {into}, then look again."
    if windows and backend in {"cpu", "vulkan"}:
        words = f"Run “winget install llama.cpp” in a terminal, then look again. Or: {words}"
    return words
