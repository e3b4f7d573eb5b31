"""The inputs of a registration: the patient's volume, the X-ray images, and the conversion of values to attenuation.

Attenuation uses tensors; torch is loaded on first use, since Slicer's GUI needs the rest immediately.
"""

from typing import TYPE_CHECKING, Any

from .field import find_field
from .intensity import IntensityKind, line_integrals, zero_of_counts
from .radiograph import Radiograph
from .recording import intensity_named, radiograph_from_array
from .scene import Scene, require_different_views
from .volume import Volume

if TYPE_CHECKING:
    from .attenuation import Attenuation, attenuation_by_label, attenuation_of, coarsened, rendered_grid

__all__ = [
    "Attenuation",
    "IntensityKind",
    "Radiograph",
    "Scene",
    "Volume",
    "attenuation_by_label",
    "attenuation_of",
    "coarsened",
    "find_field",
    "intensity_named",
    "line_integrals",
    "radiograph_from_array",
    "rendered_grid",
    "require_different_views",
    "zero_of_counts",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import attenuation

        return getattr(attenuation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
