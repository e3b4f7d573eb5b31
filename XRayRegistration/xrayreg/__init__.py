"""2D/3D registration: the pose of the C-arm relative to a patient's CT, from one or more X-ray images.

    import xrayreg

    result = xrayreg.register("ct.nii.gz", "image.dcm")
    print(result.world_from_volume, result.verdict.reason)

See `xrayreg.api`, which is loaded when one of its names is used: what it needs takes seconds to load.

Data flow: `io` reads files into a `scene`; `registration` finds a start, refines it (`optimize`, with DRRs of `render`
compared by `similarity`) and validates it; `report` writes the results. `networks` train and use pose
regression and learned similarities. The frames and the file contract are in Documentation/design.md of the repository.
"""

import os
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads of torch and numba spin by default. On a busy machine they then wait for each other, and a
# registration of one second took a hundred. Read when torch is loaded; a user's own setting takes precedence.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__all__ = ["InputError", "Registration", "Step", "__version__", "register", "register_case"]

if TYPE_CHECKING:
    from .api import InputError, Registration, Step, register, register_case


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
