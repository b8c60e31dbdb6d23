"""NVIDIA's management library as calls that return a value or say why not."""

import importlib
from types import TracebackType
from typing import Any, Self

NOT_SUPPORTED = 3
NO_PERMISSION = 4
NOT_FOUND = 6
GPU_IS_LOST = 15
GPU_NOT_FOUND = 28
_VERSION_MISMATCH = 25
FUNCTION_NOT_FOUND = 13

# NVML's return codes (nvml.h, nvmlReturn_t) in words for people.
_WORDS = {
    1: "NVML was not started",
    2: "NVML did not accept the question",
    NOT_SUPPORTED: "not reported by the driver",
    NO_PERMISSION: "this needs administrator rights",
    NOT_FOUND: "the driver found nothing",
    8: "the GPU's power cables are not connected properly",
    9: "the NVIDIA driver is not loaded",
    10: "the driver took too long",
    12: "no NVIDIA driver is installed",
    FUNCTION_NOT_FOUND: "this driver is too old to report it",
    14: "the GPU's own configuration memory is damaged",
    GPU_IS_LOST: "the GPU has fallen off the bus",
    16: "the GPU needs a reset",
    17: "the operating system blocked the driver",
    18: "the driver was updated and the machine not restarted since",
    21: "the driver has no data yet",
    _VERSION_MISMATCH: "this driver is too old to report it",
    27: "the driver is not ready yet",
    GPU_NOT_FOUND: "the GPU is gone",
    29: "the GPU is in a state that does not allow it",
    999: "the driver reported an unknown error",
}
UNANSWERABLE = frozenset({2, NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, _VERSION_MISMATCH})
"""What asking again will not change; a driver that took too long may answer the next time."""
LOST = frozenset({GPU_IS_LOST, GPU_NOT_FOUND, 16})
NO_DRIVER = frozenset({12})


class NvmlError(Exception):
    """One call failed. ``reason`` is a clause for people, ``code`` NVML's return code."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.reason = _WORDS.get(code, f"the driver reported error {code}")
        super().__init__(self.reason)


class NvmlLibrary:
    """An open NVML: a context manager around init and shutdown, which NVML counts.

    Raises NvmlError when there is no usable driver.
    """

    def __init__(self) -> None:
        # Imported late: 5 ms that only machines with NVML to read should pay.
        self._pynvml: Any = importlib.import_module("pynvml")

    def __enter__(self) -> Self:
        self.call("nvmlInit")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.call("nvmlShutdown")
        except NvmlError:
            return  # nothing is left to close on a driver that has gone

    def call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - pynvml is untyped
        """The result of one pynvml function. Raises NvmlError."""
        try:
            return getattr(self._pynvml, name)(*arguments)
        except self._pynvml.NVMLError as error:
            raise NvmlError(int(error.value)) from error
        except self._pynvml.NVMLLibraryMismatchError as error:
            raise NvmlError(FUNCTION_NOT_FOUND) from error
        except UnicodeDecodeError as error:
            raise NvmlError(999) from error

    def optional(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - pynvml is untyped
        """The result, or None when the call failed for any reason but a lost GPU."""
        try:
            return self.call(name, *arguments)
        except NvmlError as error:
            if error.code in LOST:
                raise
            return None

    def processes(self, handle: object, kind: str) -> list[Any]:
        """Programs of one kind, ``"Compute"`` or ``"Graphics"``; older drivers know v2 only."""
        name = f"nvmlDeviceGet{kind}RunningProcesses"
        try:
            return list(self.call(f"{name}_v3", handle))
        except NvmlError as error:
            if error.code != FUNCTION_NOT_FOUND:
                raise
        return list(self.call(f"{name}_v2", handle))

    def memory(self, handle: object) -> tuple[int, int | None, int]:
        """Total, reserved by the driver (None: this driver's v1 counts it as used), and used.

        nvmlDeviceGetMemoryInfo_v2; `used` then is what programs hold.
        """
        try:
            info = self.call("nvmlDeviceGetMemoryInfo", handle, self._pynvml.nvmlMemory_v2)
        except NvmlError as error:
            if error.code not in {FUNCTION_NOT_FOUND, _VERSION_MISMATCH, 2}:
                raise
            info = self.call("nvmlDeviceGetMemoryInfo", handle)
            return int(info.total), None, int(info.used)
        return int(info.total), int(info.reserved), int(info.used)
