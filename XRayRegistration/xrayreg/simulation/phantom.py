"""A generated patient: the CT of an adult pelvis and lumbar spine, without patient data.

Everything is drawn from closed-form shapes (shapes.py, pelvis.py, spine.py, tissue.py). The body is asymmetric in
bone and soft tissue, so that an image of its mirror image differs from its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..checks import InputError
from ..geometry import VoxelGrid
from ..scene import Volume
from ..slabs import slabs
from .bones import AT_ONCE, Bone, Lattice, bone_distance, bone_hu, occupancy
from .pelvis import HIP_CENTRE, femur_right, hip_right, placed, sacrum
from .shapes import REACH_MM, Ellipsoid, Floats
from .spine import LUMBAR, vertebra
from .tissue import smooth_noise, soft_tissue

LABEL_NAMES = {
    1: "hip_left",
    2: "hip_right",
    3: "sacrum",
    4: "femur_left",
    5: "femur_right",
    6: "vertebrae_L1",
    7: "vertebrae_L2",
    8: "vertebrae_L3",
    9: "vertebrae_L4",
    10: "vertebrae_L5",
}

_LOW, _HIGH = (-200.0, -146.0, -130.0), (200.0, 134.0, 280.0)
# The hip bones come last: they are cut by the sacrum and the femoral heads.
_LAYING_ORDER = tuple(sorted(LABEL_NAMES.values(), key=lambda name: name.startswith("hip")))
# Least gap between the two bones of a joint [mm].
_JOINT_MM = 2.4


def pelvis_phantom(spacing_mm: float = 1.5, seed: int = 0) -> Volume:
    """The CT of a generated pelvis and lumbar spine, about 400 x 280 x 410 mm.

    spacing_mm: edge of the cubic voxels. seed: of the texture and of the bowel; the bones do not depend on it.
    Returns a Volume in Hounsfield units (int16) with labels (uint8) named as in LABEL_NAMES; RAS millimetres with the
    origin midway between the hip centres: x grows to the patient's right, so hip_right has x > 0 and hip_left x < 0.
    Raises InputError for a spacing outside 0.5 to 10 mm.
    """
    if not 0.5 <= spacing_mm <= 10:
        raise InputError(
            "phantom spacing", expected="0.5 to 10 mm", found=f"{spacing_mm:g} mm", remedy="give another spacing"
        )
    generator = np.random.default_rng(seed)
    lattice = Lattice.over(_LOW, _HIGH, spacing_mm)
    values = soft_tissue(lattice, generator)
    texture = smooth_noise(lattice, 2.5, generator)
    for rows in slabs(lattice.shape, AT_ONCE):
        values[rows] += 9 * texture[rows] * (values[rows] > -900)
    labels = _lay_bones(values, lattice, texture)
    counts = np.empty(lattice.shape, np.int16)
    for rows in slabs(lattice.shape, AT_ONCE):
        counts[rows] = np.rint(np.maximum(values[rows], -1000))
    return Volume(counts, _grid(lattice), labels, LABEL_NAMES)


def _skeleton() -> dict[str, Bone]:
    """All bones by name. The left side is larger by 3 %, tilted and rotated; the left femur is turned outwards."""
    hip, femur = hip_right(), femur_right(_LOW[2])
    still, none = np.eye(3), np.zeros(3)
    left_hip_centre = HIP_CENTRE * (-1, 1, 1)
    symphysis = np.array([0.0, 45.0, -25.0])
    hip_turn = Rotation.from_euler("xyz", [1.5, -1.2, 1.5], degrees=True).as_matrix()
    femur_turn = Rotation.from_euler("zyx", [-16.0, 5.0, 2.0], degrees=True).as_matrix()
    moved_centre = symphysis + 1.03 * hip_turn @ (left_hip_centre - symphysis)
    bones = [
        placed(hip, "hip_left", hip_turn, symphysis, none, 1.03, mirror=True),
        placed(hip, "hip_right", still, none, none, 1.0, mirror=False),
        sacrum(),
        placed(femur, "femur_left", femur_turn, left_hip_centre, moved_centre - left_hip_centre, 1.03, mirror=True),
        placed(femur, "femur_right", still, none, none, 1.0, mirror=False),
        *(vertebra(row) for row in LUMBAR),
    ]
    return {bone.name: bone for bone in bones}


def _lay_bones(values: Floats, lattice: Lattice, texture: Floats) -> NDArray[np.uint8]:
    """Write every bone into `values`; returns the label map. Later bones keep clear of earlier ones."""
    labels = np.zeros(lattice.shape, np.uint8)
    nearest = np.full(lattice.shape, REACH_MM, np.float32)
    skeleton = _skeleton()
    numbers = {name: number for number, name in LABEL_NAMES.items()}
    for name in _LAYING_ORDER:
        bone = skeleton[name]
        window = lattice.window(*bone.box(), REACH_MM)
        part = lattice.part(window)
        distance = bone_distance(bone, part)
        for rows in slabs(part.shape, AT_ONCE // 4):
            above, across, along = window
            here = slice(above.start + rows.start, above.start + rows.stop), across, along
            _lay(
                bone,
                numbers[name],
                distance[rows],
                lattice.part(here),
                texture[here],
                values[here],
                nearest[here],
                labels[here],
            )
    _paint_bone_island(values, lattice)
    return labels


def _lay(
    bone: Bone,
    number: int,
    distance: Floats,
    lattice: Lattice,
    texture: Floats,
    values: Floats,
    nearest: Floats,
    labels: NDArray[np.uint8],
) -> None:
    """Write a bone into the arrays of a part of the lattice; nearest is the distance to those laid before [mm]."""
    # Away from a neighbour its distance is only a bound and must not thicken this bone's cortex.
    close = nearest < REACH_MM / 2
    distance = np.where(close, np.maximum(distance, _JOINT_MM - nearest), distance)
    values += occupancy(distance, lattice.spacing_mm) * (bone_hu(bone, distance, lattice, texture) - values)
    np.minimum(nearest, distance, out=nearest)
    labels[distance < 0] = number


def _paint_bone_island(values: Floats, lattice: Lattice) -> None:
    """A dense island in the right ilium above the acetabulum and an enostosis in the left femur's neck."""
    for centre, radii in (((99, 4, 47), (5, 4, 6)), ((-112, -8, -20), (4, 4, 5))):
        island = Ellipsoid.of(centre, radii)
        window = lattice.window(*island.box(), 2.0)
        weight = occupancy(island.distance(*lattice.part(window).mesh()), lattice.spacing_mm)
        values[window] += weight * (np.float32(1200) - values[window])


def _grid(lattice: Lattice) -> VoxelGrid:
    matrix = np.diag([lattice.spacing_mm] * 3 + [1.0])
    matrix[:3, 3] = lattice.x[0], lattice.y[0], lattice.z[0]
    nk, nj, ni = lattice.shape
    return VoxelGrid((ni, nj, nk), matrix)
