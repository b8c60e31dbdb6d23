"""Windows' job objects: children that end with this process, however it ends."""

import ctypes
import sys
from typing import Final

_EXTENDED_LIMITS: Final = 9
"""JobObjectExtendedLimitInformation (winnt.h)."""
_KILL_ON_CLOSE: Final = 0x2000
"""JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE."""
_QUOTA_AND_TERMINATE: Final = 0x0101
"""PROCESS_SET_QUOTA | PROCESS_TERMINATE, which AssignProcessToJobObject asks for."""


class _BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("per_process_time", ctypes.c_int64),
        ("per_job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


def bind_to_us(pid: int) -> int | None:
    """Put a child into a job that ends with this process; its handle, None where that fails."""
    if sys.platform != "win32":
        return None
    kernel = _kernel()
    job = kernel.CreateJobObjectW(None, None)
    if not job:
        return None
    limits = ExtendedLimits()
    limits.basic.flags = _KILL_ON_CLOSE
    size = ctypes.sizeof(limits)
    child = kernel.OpenProcess(_QUOTA_AND_TERMINATE, 0, pid)
    bound = (
        kernel.SetInformationJobObject(job, _EXTENDED_LIMITS, ctypes.byref(limits), size)
        and child
        and kernel.AssignProcessToJobObject(job, child)
    )
    if child:
        kernel.CloseHandle(child)
    if not bound:
        kernel.CloseHandle(job)
        return None
    return job


def close(job: int) -> None:
    """End what is still in the job."""
    if sys.platform == "win32":
        _kernel().CloseHandle(job)


def _kernel() -> "ctypes.WinDLL":
    """kernel32 with the types of what is called: a handle is a pointer, not an int."""
    if sys.platform != "win32":
        raise OSError
    handle, number = ctypes.c_void_p, ctypes.c_uint32
    kernel = ctypes.WinDLL("kernel32")
    kernel.CreateJobObjectW.restype = kernel.OpenProcess.restype = handle
    kernel.CreateJobObjectW.argtypes = (handle, ctypes.c_wchar_p)
    kernel.OpenProcess.argtypes = (number, ctypes.c_int, number)
    kernel.SetInformationJobObject.argtypes = (handle, ctypes.c_int, handle, number)
    kernel.AssignProcessToJobObject.argtypes = (handle, handle)
    kernel.CloseHandle.argtypes = (handle,)
    return kernel
