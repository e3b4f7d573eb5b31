"""Whether a process still runs, by its number: on every system, without further packages and without disturbing it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def birth_of(pid: int) -> str | None:
    """When the living process `pid` of this computer was started, as a text to compare; None where there is none.

    Numbers are given again, so the same number with another birth is another process. Empty where the birth cannot be
    told. A process that has ended but that its parent has not asked about does not live.
    """
    if pid <= 0:
        return None
    if sys.platform == "win32":
        return _birth_on_windows(pid)
    if Path("/proc/self/stat").exists():
        return _birth_on_linux(pid)
    return _birth_by_ps(pid)


def _birth_on_linux(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        return ""
    # The name in brackets may hold anything, also blanks and brackets. After it: state, and the start as 22nd field.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{boot} {fields[19]}"


def _birth_by_ps(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        # Somebody else's; ps shows it all the same.
        pass
    try:
        told = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout.split(maxsplit=1)
    except (OSError, subprocess.SubprocessError):
        return ""
    if len(told) < 2:
        return ""
    return None if told[0].startswith("Z") else " ".join(told[1].split())


if sys.platform == "win32":

    def _birth_on_windows(pid: int) -> str | None:
        """There a signal of 0 would be Ctrl-C, so the system is asked."""
        import ctypes
        from ctypes import wintypes

        query_limited_information, still_active, access_denied = 0x1000, 259, 5
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
        handle = kernel.OpenProcess(query_limited_information, False, pid)
        if not handle:
            return "" if ctypes.get_last_error() == access_denied else None
        handle = wintypes.HANDLE(handle)
        try:
            code = wintypes.DWORD()
            if not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value != still_active:
                return None
            times = [wintypes.FILETIME() for _ in range(4)]
            if not kernel.GetProcessTimes(handle, *map(ctypes.byref, times)):
                return ""
            return f"{times[0].dwHighDateTime} {times[0].dwLowDateTime}"
        finally:
            kernel.CloseHandle(handle)
