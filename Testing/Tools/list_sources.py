"""Keeps the lists of XRayRegistration/CMakeLists.txt equal to the files that must be installed.

python Testing/Tools/list_sources.py           says what differs; exit code 1 when something does
python Testing/Tools/list_sources.py --write   writes the lists anew
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "XRayRegistration"
PACKAGES = ("XRayRegistrationLib", "xrayreg")


def files_on_disk(module: Path) -> dict[str, list[str]]:
    """What must be installed of the module's folder, by list name, as sorted paths relative to it."""
    inside = [path for package in PACKAGES for path in (module / package).rglob("*")]
    resources = list((module / "Resources").rglob("*"))
    wanted = [
        path
        for path in [*module.glob("*.py"), *inside, *resources]
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    names = sorted(path.relative_to(module).as_posix() for path in wanted)
    return {
        "scripts": [name for name in names if name.endswith(".py")],
        "resources": [name for name in names if not name.endswith(".py")],
    }


def split_at_markers(text: str, name: str) -> tuple[str, list[str], str]:
    """The text up to and with the marker opening list `name`, the listed paths, the text from the closing marker."""
    opening, closing = f"  # {name}: begin\n", f"  # {name}: end\n"
    before, found, rest = text.partition(opening)
    listed, found_end, after = rest.partition(closing)
    if not (found and found_end):
        raise SystemExit(f"CMakeLists.txt: the lines '{opening.strip()}' and '{closing.strip()}' are not both there")
    return before + opening, listed.split(), closing + after


def with_lists(text: str, lists: dict[str, list[str]]) -> str:
    """The text of a CMakeLists.txt with the given lists between its markers."""
    for name, paths in lists.items():
        before, _, after = split_at_markers(text, name)
        text = before + "".join(f"  {path}\n" for path in paths) + after
    return text


def differences(text: str, lists: dict[str, list[str]]) -> list[str]:
    """One sentence for each file that is on disk and not listed, or listed and not on disk."""
    sentences = []
    for name, on_disk in lists.items():
        _, listed, _ = split_at_markers(text, name)
        sentences += [f"not listed under {name}: {path}" for path in on_disk if path not in listed]
        sentences += [f"listed under {name} but not there: {path}" for path in listed if path not in on_disk]
    return sentences


def main(arguments: list[str]) -> int:
    """Compare or write the lists; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the lists anew")
    options = parser.parse_args(arguments)
    cmake, lists = MODULE / "CMakeLists.txt", files_on_disk(MODULE)
    text = cmake.read_text(encoding="utf-8")
    sentences = differences(text, lists)
    for sentence in sentences:
        print(sentence)
    if options.write:
        cmake.write_text(with_lists(text, lists), encoding="utf-8")
        return 0
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
