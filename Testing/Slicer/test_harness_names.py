"""Whether the headless Slicer's stand-ins have only such names as Python sees in Slicer, read from the C++ headers of
checkouts of Slicer (SLICER_SRC) and CTK (CTK_SRC)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest


def sources() -> dict[str, str]:
    """C++ headers of the stand-ins' originals by class name."""
    slicer, ctk = (Path(os.environ.get(variable, "/nowhere"), "Libs") for variable in ("SLICER_SRC", "CTK_SRC"))
    folders = (slicer / "MRML" / "Widgets", ctk / "Widgets", ctk / "Visualization" / "VTK" / "Widgets")
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("the stand-ins' names were not compared: SLICER_SRC and CTK_SRC do not name two checkouts")
    texts = {file.stem: file.read_text(errors="replace") for folder in folders for file in folder.glob("*.h")}
    return {name: re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL) for name, text in texts.items()}


def seen_by_python(name: str, headers: dict[str, str]) -> set[str]:
    """Properties, signals, slots and invokable methods of a class and of its bases that are not Qt's own."""
    header = headers[name]
    body = header[re.search(rf"class\s+\w*\s*{name}\s*:", header).start() :]  # type: ignore[union-attr]
    found = set(re.findall(r"Q_PROPERTY\(\s*[\w:<>]+\s+(\w+)", body))
    found |= {match for match in re.findall(r"Q_INVOKABLE[^;()]*?(\w+)\s*\(", body)}
    for section in re.split(r"\n\s*(?=public|protected|private|signals|Q_SIGNALS)", body):
        if re.match(r"(public\s+(slots|Q_SLOTS)|signals|Q_SIGNALS)\s*:", section):
            found |= set(re.findall(r"(\w+)\s*\([^;{]*\)", section))
    base = re.search(rf"class\s+\w*\s*{name}\s*:\s*public\s+(\w+)", header)
    return found | (seen_by_python(base[1], headers) if base and base[1] in headers else set())


def test_stand_ins_have_no_name_that_python_would_not_see_in_slicer(app):
    from slicer_harness import layouts, loader, view_widgets

    views = {
        "qMRMLSliceWidget": view_widgets.SliceWidget,
        "qMRMLThreeDWidget": view_widgets.ThreeDWidget,
        "qMRMLSliceView": view_widgets.qMRMLSliceView,
        "qMRMLThreeDView": view_widgets.qMRMLThreeDView,
        "qMRMLSliceControllerWidget": view_widgets.qMRMLSliceControllerWidget,
        "qMRMLLayoutManager": layouts.qSlicerLayoutManager,
    }
    headers = sources()
    originals = {name: cls for name, cls in {**loader.CTK, **loader.QMRML, **views}.items() if name in headers}
    assert len(originals) > 20
    ours = {"paintEvent", "showEvent", "childEvent", "eventFilter", "hitButton", "signatures", "staticMetaObject"}
    # QWidget's own, and what the layout manager offers to tests.
    ours |= {"setVisible", "slices", "views"}
    extra = {
        f"{name}.{attribute}"
        for name, cls in originals.items()
        for base in cls.__mro__
        if base.__module__.startswith("slicer_harness")
        for attribute in vars(base)
        if "_" not in attribute
        if attribute not in seen_by_python(name, headers) | ours
    }
    assert not extra
