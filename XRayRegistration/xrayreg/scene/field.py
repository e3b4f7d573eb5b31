"""Detection of the collimated field: the pixels of an X-ray that hold image.

Collimators and image intensifiers leave a convex field bounded by a circle, by straight blades, or by both. The area
beyond may have any tone, and dense anatomy may have the same, so no threshold separates them. Two properties do: the
boundary is an exact circle or straight line with a jump in tone, and the area beyond has no structure. Candidate
curves are drawn through the outermost edges of a reduced image (RANSAC, Fischler and Bolles 1981), scored by the
share of their visible length at which the jump stands out from everything beyond, and refitted at full size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import InputError
from .boundary import BoundaryEvidence, Circle, Curve, EdgeLine, Edges, FineEdges, attracted, weigh

# Side [pixels] of the reduced image for the candidate search: fine enough for a final error of a third of a pixel.
_SEARCH_PX = 220
_DRAWS = 250
_LINES = 12


def find_field(recorded: NDArray[np.float32]) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Mask (height, width) of the pixels of a recorded X-ray that hold image, and a sentence on each finding.

    Excluded: constant strips along the border, and everything beyond a circular or polygonal field. The field's edge
    itself is excluded too, two pixels or 0.4 % of the image. Saturated pixels are kept: they are image, if a poor one.
    Raises InputError for an image that is not a finite 2D array.
    """
    if recorded.ndim != 2 or min(recorded.shape) < 1:
        raise InputError(
            "X-ray", expected="one image of rows and columns", found=f"shape {recorded.shape}", remedy="pick a frame"
        )
    if not np.isfinite(recorded).all():
        raise InputError("X-ray", expected="finite values", found="NaN or infinity", remedy="replace them in the file")
    valid = np.zeros(recorded.shape, dtype=bool)
    top, bottom, left, right = _strips(recorded)
    height, width = bottom - top, right - left
    if min(height, width) < 16:
        valid[:] = True
        return valid, ()
    # A thin frame would hide the area outside the field; a broad one is that area.
    thin = max(recorded.shape[0] - height, recorded.shape[1] - width) <= 0.06 * max(recorded.shape)
    column, row = (left, top) if thin else (0, 0)
    curves, evidence = _boundary(recorded[top:bottom, left:right] if thin else recorded)
    rows = np.arange(top - row, bottom - row, dtype=np.float32)[:, None]
    columns = np.arange(left - column, right - column, dtype=np.float32)
    margin = max(2.0, 0.004 * max(recorded.shape))
    inside = np.ones((height, width), dtype=bool)
    for curve in curves:
        inside &= curve.inside(columns, rows) >= margin
    valid[top:bottom, left:right] = inside
    if evidence is not None:
        return valid, (
            f"A field bounded by {_named(curves)} was found ({evidence.coverage:.0%} of its visible edge stands out); "
            f"{1 - valid.mean():.0%} of the image lies beyond it and was left out.",
        )
    if (height, width) != recorded.shape:
        return valid, (
            f"Constant strips along the border were left out: {left} columns left, {recorded.shape[1] - right} right, "
            f"{top} rows above, {recorded.shape[0] - bottom} below.",
        )
    return valid, ()


def _strips(image: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """First and one-past-last row, then column, between border strips of one constant value."""
    top, bottom = _between_constant_rows(image)
    left, right = _between_constant_rows(image[top:bottom].T)
    return top, bottom, left, right


def _between_constant_rows(image: NDArray[np.float32]) -> tuple[int, int]:
    first, last = _constant_rows(image), len(image) - _constant_rows(image[::-1])
    return (first, last) if first < last else (0, len(image))


def _constant_rows(image: NDArray[np.float32]) -> int:
    value, count = image[0, 0], 0
    while count < len(image) and (image[count] == value).all():
        count += 1
    # A strip ends along the whole row; saturated air or a round field ends only in places.
    ends = count < len(image) and float((image[count] != value).mean()) > 0.5
    return count if ends else 0


def _boundary(image: NDArray[np.float32]) -> tuple[tuple[Curve, ...], BoundaryEvidence | None]:
    """The curves that bound the field of `image`, in its pixels, and their evidence; none when not collimated."""
    factor = max(1, round(max(image.shape) / _SEARCH_PX))
    small = _block_means(image, factor)
    best: tuple[BoundaryEvidence, tuple[Curve, ...], bool] | None = None
    for ranked in (False, True):
        edges = Edges.of(np.interp(small, *_tone_table(small, ranked)).astype(np.float32))
        for curves in _hypotheses(edges):
            evidence = weigh(curves, edges)
            if evidence is None or not _convincing(curves, evidence):
                continue
            if best is None or evidence.score > best[0].score + 0.005 * (len(curves) - len(best[1])):
                best = evidence, curves, ranked
    if best is None:
        return (), None
    evidence, curves, ranked = best
    if factor > 1:
        fine = FineEdges(image, *_tone_table(small, ranked), factor / 4)
        curves = tuple(attracted(curve.scaled(factor), fine, 1.5 * factor) for curve in curves)
    return curves, evidence


def _block_means(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _tone_table(image: NDArray[np.float32], ranked: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Increasing values of the image and their tones from 0 to 1.

    Linear between the extreme percentiles, or by rank, which is invariant to tone curves.
    """
    if ranked:
        values, counts = np.unique(image, return_counts=True)
        return values.astype(np.float64), (np.cumsum(counts) - counts / 2) / image.size
    low, high = np.quantile(image, (0.005, 0.995))
    return np.array([low, max(high, low + 1e-9)]), np.array([0.0, 1.0])


def _convincing(curves: tuple[Curve, ...], evidence: BoundaryEvidence) -> bool:
    if evidence.rivals > 0.12 or evidence.ghosts > 0.2:
        return False
    # Excluding most of the image requires more evidence than a round shadow.
    if evidence.beyond > 0.7 and (evidence.rivals > 0.03 or evidence.unrest > 0.01 or evidence.sharpness < 0.75):
        return False
    circular = isinstance(curves[0], Circle)
    if evidence.turning > 0.8 and (circular or len(curves) > 2):
        return evidence.coverage > 0.7 and evidence.unrest < 0.08 and evidence.sharpness > 0.5
    # An open boundary may as well be the patient's skin against air, across which the tone changes gradually.
    if evidence.sharpness < 0.75:
        return False
    if evidence.turning > 0.4 and (circular or len(curves) > 2):
        return evidence.coverage > 0.85 and evidence.unrest < 0.08
    # Skin is often a gentle arc; an intensifier's circle is visible for at least a quarter.
    if circular and evidence.turning < 0.1:
        return False
    if not circular and evidence.sharpness < 0.9:
        return False
    return evidence.coverage > 0.95 and max(evidence.unrest, evidence.rivals) < 0.05


def _hypotheses(edges: Edges) -> Iterator[tuple[Curve, ...]]:
    """Candidate fields: circles, polygons of blades, and circles cut by blades."""
    generator = np.random.default_rng(0)
    circles: list[Circle] = []
    clouds = [_outermost(edges, share) for share in (0.6, 0.8, 0.92, 0.97)]
    for points in clouds:
        if len(points) >= 24:
            circles += [circle for circle in _circles(points, edges, generator) if not _repeats(circle, circles)]
    blades = _pruned(tuple(_distinct(_lines(np.concatenate(clouds), edges), edges)), edges)
    if blades:
        yield blades
    judged = [(evidence.score, circle) for circle in circles if (evidence := weigh((circle,), edges)) is not None]
    if judged:
        best = max(judged, key=lambda pair: pair[0])[1]
        yield (best,)
        if blades:
            yield _pruned((best, *blades), edges)


def _outermost(edges: Edges, share: float) -> NDArray[np.float64]:
    """The first edge points (N, 2) from each of the four sides that are stronger than `share` of the image."""
    # The margin excludes the image's own border.
    strong = np.zeros(edges.strength.shape, dtype=bool)
    strong[2:-2, 2:-2] = edges.strength[2:-2, 2:-2] > max(float(np.quantile(edges.strength, share)), 1e-4)
    width, height = edges.size
    rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
    pairs = (
        (strong[rows].argmax(1), rows),
        (width - 1 - strong[rows, ::-1].argmax(1), rows),
        (columns, strong[:, columns].argmax(0)),
        (columns, height - 1 - strong[::-1, columns].argmax(0)),
    )
    found = np.concatenate([np.stack(pair, -1) for pair in pairs]).astype(np.float64)
    return found[(found > 4).all(1) & (found < np.array(edges.size) - 5).all(1)]


def _circles(points: NDArray[np.float64], edges: Edges, generator: np.random.Generator) -> list[Circle]:
    """The circles through three of `points` that pass near most others, refitted to adjacent edges."""
    a, b, c = points[generator.integers(len(points), size=(3, _DRAWS))]
    ab, ac = b - a, c - a
    cross = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    cross = np.where(np.abs(cross) < 1e-6, np.inf, cross)
    ab2, ac2 = (ab**2).sum(1), (ac**2).sum(1)
    centre = a + np.stack([ac[:, 1] * ab2 - ab[:, 1] * ac2, ab[:, 0] * ac2 - ac[:, 0] * ab2], -1) / cross[:, None]
    radius = np.hypot(*(a - centre).T)
    side = max(edges.size)
    centre, radius = (values[(radius > 0.15 * side) & (radius < 1.2 * side)] for values in (centre, radius))
    distance = np.abs(np.hypot(*(points[:, None] - centre).transpose(2, 0, 1)) - radius)
    near = (distance < 2).sum(0)
    found = []
    for index in np.argsort(-near)[:2]:
        circle: Curve = Circle(float(centre[index, 0]), float(centre[index, 1]), float(radius[index]))
        for reach in (5.0, 3.0):
            circle = attracted(circle, edges, reach)
        if isinstance(circle, Circle):
            found.append(circle)
    return found


def _repeats(circle: Circle, others: list[Circle]) -> bool:
    here = np.array([circle.column, circle.row, circle.radius])
    return any(np.abs(here - [other.column, other.row, other.radius]).max() < 0.5 for other in others)


def _lines(points: NDArray[np.float64], edges: Edges) -> list[EdgeLine]:
    """The straight edges through most of `points` (N, 2), facing outwards (Hough transform, Duda and Hart 1972)."""
    middle = (np.asarray(edges.size) - 1) / 2
    reach = int(np.hypot(*middle) / 2) + 1
    column, row = points.astype(np.intp).T
    slope = np.stack([edges.along_columns[row, column], edges.along_rows[row, column]], -1)
    offset = ((points - middle) * slope).sum(1) / np.hypot(*slope.T)
    angle = np.arctan2(slope[:, 1], slope[:, 0]) + np.where(offset < 0, np.pi, 0)
    # Bins of 3 degrees and 2 pixels, blurred by one.
    directions, bins = np.rint(angle / np.radians(3)).astype(int) % 120, np.minimum(np.abs(offset) / 2, reach - 1)
    votes = np.bincount(directions * reach + bins.astype(int), minlength=120 * reach).reshape(120, reach)
    smooth = ndimage.gaussian_filter(votes.astype(np.float32), 1.0, mode=("wrap", "constant"))
    peaks = (smooth == ndimage.maximum_filter(smooth, 5, mode=("wrap", "constant"))) & (smooth > 0)
    found: list[EdgeLine] = []
    for flat in np.argsort(-np.where(peaks, smooth, 0).ravel())[:_LINES]:
        direction, step = np.radians(3) * (flat // reach), 2 * (flat % reach) + 1
        line: Curve = EdgeLine(direction, step + float(middle @ [np.cos(direction), np.sin(direction)]))
        for width in (4.0, 2.0):
            line = attracted(line, edges, width)
        if isinstance(line, EdgeLine):
            found.append(line)
    return found


def _distinct(lines: list[EdgeLine], edges: Edges) -> list[EdgeLine]:
    """Those of `lines` beyond which the image has no structure, without near duplicates."""
    judged = [(evidence, line) for line in lines if (evidence := weigh((line,), edges)) is not None]
    kept: list[EdgeLine] = []
    for evidence, line in sorted(judged, key=lambda pair: -pair[0].score):
        apart = all(line.normal @ other.normal < 0.86 for other in kept)
        if evidence.unrest < 0.08 and evidence.rivals < 0.15 and evidence.coverage > 0.1 and apart:
            kept.append(line)
    return kept


def _pruned(curves: tuple[Curve, ...], edges: Edges) -> tuple[Curve, ...]:
    """`curves` without those that no edges confirm along their part of the common boundary."""
    while curves:
        evidence = weigh(curves, edges)
        if evidence is None:
            return ()
        worst = int(np.argmin(evidence.each))
        if evidence.each[worst] > 0.6:
            return curves
        curves = curves[:worst] + curves[worst + 1 :]
    return curves


def _named(curves: tuple[Curve, ...]) -> str:
    """The field in words."""
    blades = sum(isinstance(curve, EdgeLine) for curve in curves)
    words = ["a circle"] if blades < len(curves) else []
    if blades:
        words.append("a straight blade" if blades == 1 else f"{blades} straight blades")
    return " and ".join(words)
