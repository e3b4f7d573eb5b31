"""Which system libraries off-screen drawing lacks here, and the Debian packages that bring them.

    python Testing/Slicer/slicer_harness/libraries.py            # one line and exit code 1 when something is missing
    python Testing/Slicer/slicer_harness/libraries.py --install  # apt-get, where this may be done

Needs nothing but Python itself, so that it can be asked before anything is downloaded.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What vtk and PySide6 open at run time: any of the names will do.
_NEEDED: dict[str, tuple[str, ...]] = {
    "libegl1": ("libEGL.so.1",),
    "libgl1": ("libGL.so.1",),
    "libxkbcommon0": ("libxkbcommon.so.0",),
    "libdbus-1-3": ("libdbus-1.so.3",),
    "libfontconfig1": ("libfontconfig.so.1",),
    "libglib2.0-0": ("libglib-2.0.so.0",),
}
# Mesa's drivers are found by libEGL, not by the linker.
_DRIVERS = "libgl1-mesa-dri"
_DRIVER_FILES = ("dri/swrast_dri.so", "dri/kms_swrast_dri.so", "libgallium-*.so", "gbm/dri_gbm.so")
_VENDORS = ("/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")


def missing() -> list[str]:
    """Debian packages that are missing; empty where nothing is, and where libraries have other names (not Linux)."""
    if not sys.platform.startswith("linux"):
        return []
    packages = [package for package, names in _NEEDED.items() if not any(map(_opens, names))]
    return packages if _has_driver() else [*packages, _DRIVERS]


def has_egl() -> bool:
    """Whether VTK can draw through EGL, as far as can be told without drawing."""
    return sys.platform.startswith("linux") and _opens("libEGL.so.1") and _has_driver()


def _opens(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _folders() -> Iterator[Path]:
    for root in ("/usr/lib", "/usr/lib64", "/usr/local/lib"):
        yield Path(root)
        yield from Path(root).glob("*-linux-gnu*")


def _has_driver() -> bool:
    """Whether Mesa's software renderer or a vendor's own EGL is there."""
    vendors = (file.name for folder in _VENDORS for file in Path(folder).glob("*.json"))
    if any("mesa" not in name for name in vendors):
        return True
    return any(any(folder.glob(pattern)) for folder in _folders() for pattern in _DRIVER_FILES)


def advice(packages: list[str]) -> str:
    """A line that says how to mend it."""
    return f"the headless Slicer lacks system libraries; on Debian and Ubuntu: apt-get install {' '.join(packages)}"


def main(arguments: list[str]) -> int:
    packages = missing()
    allowed = "--install" in arguments and os.geteuid() == 0 and shutil.which("apt-get")
    if packages and allowed:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        for step in (["apt-get", "update"], command):
            subprocess.run(step, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        packages = missing()
    if packages:
        sys.stdout.write(advice(packages) + "\n")
    return int(bool(packages))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
