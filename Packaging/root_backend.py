"""Build backend of the repository's root: `pip install .` there installs the package in XRayRegistration.

Each function is the hook of setuptools of that name (PEP 517 and 660), run in the package's folder, so that metadata
and dependencies stand in one file, XRayRegistration/pyproject.toml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from setuptools import build_meta

PACKAGE = Path(__file__).resolve().parents[1] / "XRayRegistration"

Settings = Mapping[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What a wheel needs to be built, besides the build system's own requirements."""
    with chdir(PACKAGE):
        return build_meta.get_requires_for_build_wheel(config_settings)


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """What a source distribution needs to be built."""
    with chdir(PACKAGE):
        return build_meta.get_requires_for_build_sdist(config_settings)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """What an editable wheel needs to be built."""
    with chdir(PACKAGE):
        return build_meta.get_requires_for_build_editable(config_settings)


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the wheel's metadata to a folder; returns the name of its .dist-info folder there."""
    target = os.path.abspath(metadata_directory)
    with chdir(PACKAGE):
        return build_meta.prepare_metadata_for_build_wheel(target, config_settings)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the editable wheel's metadata to a folder; returns the name of its .dist-info folder there."""
    target = os.path.abspath(metadata_directory)
    with chdir(PACKAGE):
        return build_meta.prepare_metadata_for_build_editable(target, config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Write a wheel to a folder; returns its file name."""
    target, metadata = _absolute(wheel_directory, metadata_directory)
    with chdir(PACKAGE):
        return build_meta.build_wheel(target, config_settings, metadata)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Write an editable wheel, which points to this checkout, to a folder; returns its file name."""
    target, metadata = _absolute(wheel_directory, metadata_directory)
    with chdir(PACKAGE):
        return build_meta.build_editable(target, config_settings, metadata)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Write a source distribution of the package, without tests, to a folder; returns its file name."""
    target = os.path.abspath(sdist_directory)
    with chdir(PACKAGE):
        return build_meta.build_sdist(target, config_settings)


def _absolute(directory: str, metadata_directory: str | None) -> tuple[str, str | None]:
    return os.path.abspath(directory), None if metadata_directory is None else os.path.abspath(metadata_directory)
