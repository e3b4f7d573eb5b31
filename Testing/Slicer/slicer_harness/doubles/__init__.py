"""Small doubles of the Python files that Slicer brings along and slicer-core lacks.

Each behaves as the original does as far as the module's tests need; the same tests run against the originals when
SLICER_SRC names a checkout of Slicer.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

from . import bases, limits, packs, samples, translation, wrapper


def install(source: Path | None) -> None:
    """Make importable what slicer-core lacks: from a checkout of Slicer, or the doubles under the originals' names."""
    if source is None:
        contents: dict[str, dict[str, Any]] = {
            "i18n": {"tr": translation.tr, "translate": translation.translate},
            "ScriptedLoadableModule": {cls.__name__: cls for cls in bases.CLASSES},
            "parameterNodeWrapper": {
                **{cls.__name__: cls for cls in limits.CLASSES},
                **{function.__name__: function for function in (*packs.FUNCTIONS, *wrapper.FUNCTIONS)},
                "SlicerParameterNamePropertyName": wrapper.PROPERTY,
            },
        }
        import slicer

        for name, content in contents.items():
            module = _module(f"slicer.{name}", content)
            setattr(slicer, name, module)
    else:
        import slicer

        slicer.__path__.append(str(source / "Base" / "Python" / "slicer"))
    original = source / "Modules" / "Scripted" / "SampleData" if source else None
    if original is not None and original.is_dir():
        sys.path.append(str(original))
    else:
        _module("SampleData", {name: getattr(samples, name) for name in samples.NAMES})


def _module(name: str, content: dict[str, Any]) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    return module
