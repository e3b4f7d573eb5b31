"""2D/3D registration: the pose of the C-arm relative to a patient's CT, from one or more X-ray images.

    from xrayreg.io import read_case
    from xrayreg.pipeline import register
    from xrayreg.settings import registration_settings

    for step in register(read_case("case.json"), registration_settings(init="auto")):
        print(f"{step.fraction:4.0%} {step.message}")
    print(step.result.world_from_volume, step.result.verdict.reason)

Data flow: `io` reads files into a `scene`; `pipeline` finds a start (`initial`), refines it (`refine`, with DRRs of
`render` compared by `similarity`) and judges it (`verdict`); `report` writes the results. `networks` train and use pose
regression and learned similarities. The frames and the file contract are in Documentation/design.md of the repository.
"""

import os

# Idle OpenMP threads of torch and numba spin by default. On a busy machine they then wait for each other, and a
# registration of one second was seen to take a hundred. Read when torch is loaded; a user's own choice wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
