"""The attempts of a registration to start from, cheapest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checks import InputError
from ..geometry import NOMINAL_VIEWS, nominal_pose, nominal_sod_mm, pose_difference
from ..networks.inference.prediction import Prediction
from ..networks.inference.similarity_objective import require_telling
from ..networks.inference.similarity_scene import SceneSimilarity, descended
from ..optimize import OnProgress, falling
from ..scene import Scene
from ..settings import LevelSettings, PosePrior, SearchSettings
from ..settings.methods import PROST_SGD_LEARNED
from .initial import deviations, distinct_places, draw_poses
from .problem import Prior
from .problem_cache import REFINE_MARGIN_MM, ProblemCache

STARTS = ("auto", "case", "search")
NETWORK_SUFFIX = ".pt"
AROUND_NETWORK = "a search around the network's poses"
AROUND_LEARNED = "a search around the learned similarity's poses"


@dataclass(frozen=True, eq=False)
class Attempt:
    """One attempt: hypotheses and how they are searched and refined.

    names: for display, of each hypothesis, or one for all where a search follows.
    hypotheses: (N, 4, 4) poses of the first camera, the most probable first.
    search: how the best are selected; None where they are few, and all of them are refined.
    levels: of the refinement of the remaining ones; after a search those that it did not use.
    prior: the expected pose, if known. spread: deviation of the hypotheses from their centre.
    hopeless: similarity below which it is given up (see `RegistrationSettings`); None where it is always completed.
    """

    names: tuple[str, ...]
    hypotheses: Tensor
    search: SearchSettings | None
    levels: tuple[LevelSettings, ...]
    prior: Prior | None
    spread: PosePrior
    hopeless: float | None = None


@dataclass(frozen=True, eq=False)
class Proposals:
    """Probable poses by a network, and the search that may follow them.

    poses: (N, 4, 4) of the first camera, the most probable first; N may be 0. names: of them, for display.
    around: the name of a search around them. near: whether they are usually near enough to skip levels.
    """

    poses: Tensor
    names: tuple[str, ...]
    around: str = AROUND_NETWORK
    near: bool = True


def network_file(init: str) -> Path | None:
    """The network file named as a start, None for one of STARTS.

    Raises InputError for a word that is neither, and for a missing file.
    """
    path = Path(init)
    if init in STARTS:
        return None
    if path.is_file():
        return path
    if path.suffix.lower() == NETWORK_SUFFIX:
        raise InputError(
            "init", expected="the file of a trained network", found=f"nothing at {path}", remedy="check the path"
        )
    raise InputError(
        "init",
        expected=f"one of {', '.join(STARTS)} or the file of a trained network (model{NETWORK_SUFFIX})",
        found=init,
        remedy="choose one",
    )


def require_start(init: str, scene: Scene) -> None:
    """Raise InputError for a start that is not available."""
    if network_file(init) is None and init == "case" and scene.initial is None:
        raise InputError(
            "init", expected='an "initial" pose in the case', found="none", remedy="add one or use --init search"
        )


def attempts(problems: ProblemCache, proposals: Proposals | None) -> list[Attempt]:
    """The attempts, cheapest first; `proposals` are those of networks, if any is used.

    Raises InputError when the case's initial pose leaves the volume outside every view.
    """
    settings, initial = problems.settings, _initial(problems)
    planned: list[Attempt] = []
    prior: Prior | None = None
    if initial is not None:
        _require_in_view(problems, initial)
        prior = _prior(problems, initial, settings.search.prior)
    if proposals is not None and len(proposals.poses):
        planned += _of_network(problems, proposals, prior)
    elif initial is not None and settings.init in ("auto", "case"):
        # Never given up where no search follows; for bones see `_of_network`.
        last = settings.init == "case"
        hopeless = None if last or problems.partial else settings.hopeless
        names, spread = ("the case's initial pose",), settings.search.prior
        planned.append(Attempt(names, initial[None], None, settings.refine.levels, prior, spread, hopeless))
    if settings.init != "case":
        planned.append(search_anew(problems, settings.seed))
    return planned


def learned_proposals(
    problems: ProblemCache,
    similarity: SceneSimilarity,
    prediction: Prediction | None,
    on_progress: OnProgress | None = None,
) -> Proposals:
    """Poses that a learned similarity leads to from the network's poses, the case's initial pose, or all nominal views.

    Where a search may follow, it ranks hypotheses drawn around them, and its gradient is followed from the best.
    The starts themselves stay among the proposals, so that nothing is lost where it misleads.
    Raises InputError where it cannot score poses around the first start.
    """
    settings, initial = problems.settings, _initial(problems)
    starts, names = _centres(problems), tuple(f"the {view} view" for view in NOMINAL_VIEWS)
    if prediction is not None and len(prediction.poses):
        starts, names = prediction.poses, prediction.names
    elif initial is not None:
        _require_in_view(problems, initial)
        names = ("the case's initial pose",)
    require_telling(similarity.objective, starts[0], similarity.name)
    drawn = 0 if settings.init == "case" else settings.learned.hypotheses // len(starts)
    hypotheses = draw_poses(starts, problems.pivot, _spread(settings.search), drawn, settings.seed)
    scores = similarity.objective.scores(hypotheses)
    order = falling(scores)
    best = order[distinct_places(hypotheses[order], problems.pivot, settings.learned.descents)]
    steps = replace(PROST_SGD_LEARNED, steps=settings.learned.steps)
    found = [descended(similarity, hypotheses[place], steps, on_progress) for place in best.tolist()]
    found.sort(key=lambda descent: -descent.score)
    told = [f"the learned similarity's pose {n} of {len(found)}" for n in range(1, 1 + len(found))]
    poses = torch.cat([torch.stack([descent.pose for descent in found]), starts])
    return Proposals(poses, (*told, *names), AROUND_LEARNED, near=False)


def search_anew(problems: ProblemCache, seed: int) -> Attempt:
    """A search around the case's initial pose, or around all nominal views where there is none."""
    settings, initial = problems.settings, _initial(problems)
    centres = _centres(problems)
    small = initial is not None and problems.is_small(initial)
    wide = settings.part_search if small else settings.search
    spread = _spread(wide)
    drawn = draw_poses(centres, problems.pivot, spread, wide.hypotheses, seed)
    prior = None if initial is None else _prior(problems, initial, spread)
    return Attempt(("a search",), drawn, wide, _levels_after(problems, wide), prior, spread)


def search_around(problems: ProblemCache, poses: Tensor, name: str, seed: int) -> Attempt:
    """A search in the neighbourhood of poses (N, 4, 4) that may be nearly right."""
    settings, initial = problems.settings, _initial(problems)
    around = settings.part_search if problems.is_small(poses[0]) else settings.around
    drawn = draw_poses(poses, problems.pivot, around.prior, around.hypotheses // len(poses), seed)
    prior = None if initial is None else _prior(problems, initial, settings.search.prior)
    return Attempt((name,), drawn, around, _levels_after(problems, around), prior, around.prior)


def _of_network(problems: ProblemCache, proposals: Proposals, prior: Prior | None) -> list[Attempt]:
    """The best hypotheses themselves, then a search around them, unless only the case's pose is to be used."""
    settings = problems.settings
    kept = _best_rendered(problems, proposals.poses, prior)
    poses = proposals.poses[kept]
    finest = settings.refine.levels[-1]
    # With the whole body a network's pose is near enough to go from the first level directly to the finest.
    skips = proposals.near and not problems.partial
    levels = (settings.network.level, finest) if skips else settings.refine.levels
    names = tuple(proposals.names[n] for n in kept)
    if settings.init == "case":
        return [Attempt(names, poses, None, levels, prior, settings.search.prior)]
    # On small images a single bone among others differs too much from the X-ray for an attempt to be given up there.
    hopeless = None if problems.partial else settings.hopeless
    around = search_around(problems, poses, proposals.around, settings.seed)
    return [
        Attempt(names, poses, None, levels, prior, around.spread, hopeless),
        replace(around, hopeless=hopeless),
    ]


def _best_rendered(problems: ProblemCache, poses: Tensor, prior: Prior | None) -> list[int]:
    """Indices of the distinct best poses (N, 4, 4) by rendering them, the best first."""
    settings = problems.settings.network
    shifts = pose_difference(poses, poses[0].expand_as(poses), problems.pivot)[:, 3:5]
    searching = problems.for_search()
    margin = REFINE_MARGIN_MM + float(shifts.abs().max())
    problem = searching.problem(settings.level, poses, margin, prior)
    order = falling(problem.scores(poses))
    return [int(order[n]) for n in distinct_places(poses[order], problems.pivot, settings.refined)]


def _levels_after(problems: ProblemCache, search: SearchSettings) -> tuple[LevelSettings, ...]:
    """The levels of refinement that are clearly finer than where a search begins."""
    levels = problems.settings.refine.levels
    return tuple(level for level in levels if level.image_px > search.levels[0].image_px * 2) or levels[-1:]


def _centres(problems: ProblemCache) -> Tensor:
    """The case's initial pose, or all nominal views where there is none (M, 4, 4)."""
    initial = _initial(problems)
    if initial is not None:
        return initial[None]
    sod = nominal_sod_mm(problems.scene.views[0].camera)
    poses = [nominal_pose(view, problems.pivot.numpy(), sod) for view in NOMINAL_VIEWS]
    return torch.as_tensor(np.stack(poses))


def _spread(search: SearchSettings) -> PosePrior:
    """The spread of a search's hypotheses."""
    prior = search.prior
    return PosePrior(_times(prior.rotation_deg, search.spread), _times(prior.translation_mm, search.spread))


def _initial(problems: ProblemCache) -> Tensor | None:
    """The case's initial pose (4, 4) of the first camera."""
    scene = problems.scene
    return None if scene.initial is None else torch.as_tensor(scene.views[0].camera.camera_from_world @ scene.initial)


def _prior(problems: ProblemCache, expected: Tensor, spread: PosePrior) -> Prior:
    return Prior(expected, deviations(spread), problems.settings.refine.prior_weight)


def _require_in_view(problems: ProblemCache, pose: Tensor) -> None:
    """Raise InputError for an initial pose that puts the whole volume outside every view."""
    views = problems.scene.views
    first_from_world = views[0].camera.camera_from_world
    for view in views:
        camera_from_volume = view.camera.camera_from_world @ np.linalg.inv(first_from_world) @ pose.numpy()
        corners = problems.attenuation.grid.corners() @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]
        if corners[:, 2].max() <= 0:
            continue
        pixels = view.camera.project(corners)
        low, high = np.nanmin(pixels, axis=0), np.nanmax(pixels, axis=0)
        if low[0] < view.camera.width and low[1] < view.camera.height and (high > 0).all():
            return
    raise InputError(
        "initial pose",
        expected="a pose that puts the volume into the X-ray",
        found="a volume entirely outside the view",
        remedy='check "initial" (world_from_volume, RAS mm), or leave it out to search',
    )


def _times(values: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    first, second, third = (value * factor for value in values)
    return first, second, third
