"""Keeping the process's freed memory for the next iteration."""

import ctypes
import platform

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # names and numbers of malloc.h


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of giving them back to the system.

    A training frees and asks for the same hundreds of megabytes at every iteration; each fresh page costs the
    processor a fault. Does nothing with another C library.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
