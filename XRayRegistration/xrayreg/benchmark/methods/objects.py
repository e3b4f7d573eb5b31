"""Registration of several bones: first the main one, then each other one about its joint, then all of them jointly.

As in Grupp et al. (IJCARS 15, 2020): the pelvis alone; each femur by CMA-ES in so(3) about the centre of its head, the
others fixed; then all parameters jointly. The last step is Levenberg-Marquardt here instead of BOBYQA.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor

from ...checks import InputError
from ...optimize import (
    EulerPenalty,
    MultiObject,
    ObjectPenalty,
    Parameterisation,
    PartlyFixed,
    Penalty,
    PoseObjective,
    RotVec,
    cma_es,
    levenberg_marquardt,
    span,
)
from ...registration.problem import Problem, build_problem, reduction
from ...registration.problem_cache import SUPPORT_MARGIN_PX
from ...registration.results import OnStep, Step, unheeded
from ...render import Projector, prepare
from ...scene import Attenuation, Scene, attenuation_of, coarsened
from ...settings import CmaSettings, LevelSettings, LmSettings, PoseSpan
from ...similarity import Similarity
from .composite import CompositeProblem
from .joints import joint_centre
from .meter import Meter
from .method import CASE_OPTIONS, Method, MethodContext, MethodOutcome
from .ours import refined
from .staged import UNITS, Part, given_start, played

# Expected rotation of a joint since the CT: the initial standard deviation of CMA-ES [rad].
_TURNED = math.radians(12.0)
_TURNING = CmaSettings(population=10, generations=14, tolerance_points=math.radians(0.5))
# A single bone shows too little detail on smaller images.
_LEVEL = LevelSettings(256, 20)
# Progress when the main object is registered, and when the others are, as fractions of the whole.
_ALONE, _TOGETHER = 0.2, 0.8
# Prior that keeps a joint together: allowed distance of its centre from its position in the main bone, and its weight
# (see `Prior`). A single view hardly constrains depth, and so the tilt of a long bone towards the source.
_IN_JOINT = PoseSpan((20.0, 20.0, 20.0), (1.5, 1.5, 3.0))
_PENALTY_WEIGHT = 0.02


@dataclass(frozen=True)
class RigidObject:
    """A rigid object. labels: of the label map. pivot_mm: its centre of rotation, (3,) in the volume frame.

    Without a pivot the first object rotates about its own centre, the others about their joint with the first.
    """

    name: str
    labels: tuple[int, ...]
    pivot_mm: tuple[float, float, float] | None = None


@dataclass(eq=False)
class _Bones:
    """The objects of a scene, prepared for rendering at any resolution."""

    scene: Scene
    context: MethodContext
    attenuations: tuple[Attenuation, ...]
    pivots: Tensor
    spent: list[Projector] = field(default_factory=list)

    @property
    def renders(self) -> int:
        """Images made so far."""
        return sum(projector.renders for projector in self.spent)

    def problem(self, poses: Tensor) -> CompositeProblem:
        """The problem near poses (K, 4, 4)."""
        views, level = self.scene.views, _LEVEL
        depth = max(1.0, float(poses[0, 2, :3] @ self.pivots[0] + poses[0, 2, 3]))
        voxel_mm = min(depth * reduction(v.camera, level.image_px) / v.camera.focal_px for v in views)
        projectors = []
        for attenuation in self.attenuations:
            coarse = coarsened(attenuation, voxel_mm)
            projectors.append(prepare(coarse, self.context.engine, self.context.device))
        self.spent += projectors
        similarity = Similarity(level.terms)
        base = build_problem(projectors[0], views, similarity, image_px=level.image_px, pivot=self.pivots[0])
        return CompositeProblem(tuple(projectors), base.views, similarity, self.pivots)


def register_objects(
    scene: Scene, objects: Sequence[RigidObject], context: MethodContext, on_step: OnStep = unheeded
) -> MethodOutcome:
    """Register objects one after the other, in the order given, then jointly, starting from the scene's initial pose.

    Raises InputError for labels that no voxel has and for objects without a ball joint between them.
    """
    main, *others = objects

    def in_first(step: Step) -> None:
        on_step(replace(step, fraction=_ALONE * step.fraction))

    alone = refined(replace(scene, structures=main.labels), replace(context, options={}), in_first)
    bones = _bones(scene, objects, context)
    meter = Meter(lambda: bones.renders, alone)
    given = given_start(scene, bones.pivots[0]).repeat(len(objects), 1, 1)
    poses = torch.as_tensor(alone.camera_from_volume).repeat(len(objects), 1, 1)
    problem = bones.problem(poses)
    share = (_TOGETHER - _ALONE) / max(1, len(others))
    for number, one in enumerate(others, start=1):
        part = Part(
            _ALONE + (number - 1) * share, share, _TURNING.population * _TURNING.generations, f"turning {one.name}"
        )
        near = problem.focused(poses, SUPPORT_MARGIN_PX, (number,))
        poses = _turned(near, poses, number, context.seed, meter, part, on_step)
    problem = problem.focused(poses, SUPPORT_MARGIN_PX, range(len(poses)))
    poses, reason = _together(problem, poses, meter, on_step)
    found, as_given = problem.scores(torch.stack([poses, given])).tolist()
    if as_given > found:
        poses, found, reason = given, as_given, "Nothing was found that fits better than the start."
    rest = tuple((one.name, pose.numpy()) for one, pose in zip(others, poses[1:], strict=True))
    return replace(meter.outcome(poses[0], found, reason), others=rest)


def _bones(scene: Scene, objects: Sequence[RigidObject], context: MethodContext) -> _Bones:
    attenuations, pivots = [], []
    for one in objects:
        attenuations.append(attenuation_of(scene.volume, one.labels))
        pivot = one.pivot_mm
        if pivot is None and one is not objects[0]:
            pivot = tuple(joint_centre(scene.volume, one.labels, objects[0].labels))
        pivots.append(attenuations[-1].grid.centre.tolist() if pivot is None else list(pivot))
    return _Bones(scene, context, tuple(attenuations), torch.tensor(pivots, dtype=torch.float64))


def _turned(
    problem: CompositeProblem, poses: Tensor, number: int, seed: int, meter: Meter, part: Part, on_step: OnStep
) -> Tensor:
    """Poses (K, 4, 4) after optimising the rotation of one object about its pivot, the others fixed."""
    parts = [_held(pose, pivot, ()) for pose, pivot in zip(poses, problem.pivots, strict=True)]
    parts[number] = _held(poses[number], problem.pivots[number], (0, 1, 2))
    parameters = MultiObject(tuple(parts))
    start = torch.zeros(3, dtype=torch.float64)
    turned = cma_es(start, torch.full_like(start, _TURNED), replace(_TURNING, seed=seed))
    optimum = played(turned, _objective(problem, parameters), meter, part, on_step)
    return parameters.poses(optimum.point[None])[0]


def _together(problem: CompositeProblem, poses: Tensor, meter: Meter, on_step: OnStep) -> tuple[Tensor, str]:
    """Jointly optimised poses (K, 4, 4), with a prior that keeps the joints together, and why the search ended."""
    pairs = list(zip(poses, problem.pivots, strict=True))
    parameters = MultiObject(tuple(RotVec(pose, pivot, UNITS) for pose, pivot in pairs))
    penalties = tuple(
        ObjectPenalty(EulerPenalty(poses[n], problem.pivots[n], span(_IN_JOINT), _PENALTY_WEIGHT), n)
        for n in range(1, len(poses))
    )
    start = torch.zeros(parameters.dimensions, dtype=torch.float64)
    fitted = levenberg_marquardt(start, LmSettings(steps=_LEVEL.max_steps))
    part = Part(_TOGETHER, 1 - _TOGETHER, _LEVEL.max_steps, "all at once")
    optimum = played(fitted, _objective(problem, parameters, penalties), meter, part, on_step)
    return parameters.poses(optimum.point[None])[0], optimum.reason


def _objective(
    problem: CompositeProblem, parameters: Parameterisation, penalties: tuple[Penalty, ...] = ()
) -> PoseObjective:
    # It scores poses of several objects as a Problem scores those of one; nothing else of a Problem is used.
    return PoseObjective(cast(Problem, problem), parameters, penalties)


def _held(pose: Tensor, pivot: Tensor, free: tuple[int, ...]) -> Parameterisation:
    return PartlyFixed(RotVec(pose, pivot), torch.zeros(6, dtype=torch.float64), free)


def objects_of(scene: Scene, context: MethodContext) -> tuple[RigidObject, ...]:
    """The objects that the option "objects" names, a table of lists of labels with the main one first.

    Without it: every femur of the label map by its name, and before them the scene's other structures, or hip bones and
    sacrum if it names none. Raises InputError if no object remains.
    """
    given = context.options.get("objects")
    unknown = [name for name in context.options if name not in (*CASE_OPTIONS, "objects")]
    if unknown or not (given is None or isinstance(given, Mapping)):
        found = ", ".join(unknown) or type(given).__name__
        raise InputError(
            "method options", expected='"objects", a table of lists of labels', found=found, remedy="correct them"
        )
    if given:
        return tuple(RigidObject(str(name), tuple(int(label) for label in labels)) for name, labels in given.items())
    names = scene.volume.label_names
    femurs = {label: name for label, name in names.items() if name.startswith("femur")}
    bones = {label for label, name in names.items() if name.startswith(("hip", "sacrum"))}
    main = tuple(sorted((set(scene.structures) or bones) - set(femurs)))
    if not main or not femurs:
        raise InputError(
            "objects", expected="labels named hip_..., sacrum and femur_...", found=", ".join(names.values()) or "none",
            remedy='give the option "objects"',
        )  # fmt: skip
    return (RigidObject("pelvis", main), *(RigidObject(name, (label,)) for label, name in sorted(femurs.items())))


def _objects(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Pelvis, then each femur about its head, then all jointly."""
    return register_objects(scene, objects_of(scene, context), context, on_step)


OBJECTS = (Method("objects", "Pelvis and femurs", "After Grupp et al., IJCARS 15, 2020.", ("initial",), _objects),)
