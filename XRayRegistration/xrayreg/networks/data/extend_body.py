"""The body beyond the scan: an X-ray shows more of the patient than the CT does.

A CT ends in a plane, which causes an edge in its DRRs that no X-ray of the patient has. A network trained on such
DRRs alone relies on that edge. So in some training images the body is extended: its last slices are repeated, which
gives tissue of about the right thickness without anatomy to learn from.
"""

from __future__ import annotations

import numpy as np

from ...geometry import VoxelGrid
from ...scene import Attenuation

# Length of the extension [mm]: as far as the field of a C-arm reaches beyond a scan of the treated region.
_LENGTH_MM = 150.0
# Extent [mm] of the slices at an end whose mean is repeated; the very last may be cut or half air, and is left out.
_REPEATED_MM = 12.0
# A body is extended where its end has at least this share of the attenuation of its middle, unlike the top of a head.
_LEAST_SHARE = 0.4


def extend_body(soft: Attenuation, bone: Attenuation, scanned: VoxelGrid) -> Attenuation | None:
    """The body beyond both ends of the grid `scanned`, along the patient's long axis.

    soft, bone: the two parts of the scan, on one grid. Bone is extended as soft tissue of the same attenuation: one map
    suffices, as the extension holds no anatomy. The map's grid is longer; it is empty within the scan.
    None where the body ends within the scan.
    """
    axis = int(np.abs(soft.grid.volume_from_index[2, :3] / soft.grid.spacing_mm).argmax())
    spacing, count = float(soft.grid.spacing_mm[axis]), soft.grid.shape[axis]
    repeated = max(1, round(_REPEATED_MM / spacing))
    if count < 2 * (repeated + 1):
        return None
    # Arrays are stored [k, j, i], index axes named (i, j, k).
    slices = (soft.mu + bone.mu).movedim(2 - axis, 0)
    profile = slices.mean((1, 2))
    least = _LEAST_SHARE * profile[count // 4 : count - count // 4].mean()
    longer = max(1, round(_LENGTH_MM / spacing))
    whole = slices.new_zeros(count + 2 * longer, *slices.shape[1:])
    ends = (slice(1, 1 + repeated), slice(count - 1 - repeated, count - 1))
    places = (slice(0, longer), slice(longer + count, None))
    for cut, end, place in zip(_cut(soft.grid, scanned, axis), ends, places, strict=True):
        if cut and bool(profile[end].mean() >= least):
            whole[place] = slices[end].mean(0)
    if not bool(whole.any()):
        return None
    first, shape = [0, 0, 0], list(soft.grid.shape)
    first[axis], shape[axis] = -longer, len(whole)
    grid = soft.grid.cropped((first[0], first[1], first[2]), (shape[0], shape[1], shape[2]))
    return Attenuation(whole.movedim(0, 2 - axis).contiguous(), grid)


def _cut(grid: VoxelGrid, scanned: VoxelGrid, axis: int) -> tuple[bool, bool]:
    """Whether a map on `grid`, cropped to what attenuates, reaches the first and the last slice of the scan."""
    corners = grid.corners() @ scanned.index_from_volume[axis, :3] + scanned.index_from_volume[axis, 3]
    return bool(corners.min() < 0.5), bool(corners.max() > scanned.shape[axis] - 1.5)
