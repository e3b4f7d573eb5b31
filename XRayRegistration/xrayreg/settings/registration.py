"""Settings of a registration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

Effort = Literal["fast", "standard", "thorough"]
EngineName = Literal["auto", "reference", "torch", "numba", "triton"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Filter = Literal["none", "gradient", "sobel", "smooth_sobel"]
IntensityName = Literal["auto", "transmission", "attenuation"]

EFFORTS: tuple[str, ...] = get_args(Effort)
ENGINES: tuple[str, ...] = get_args(EngineName)
DEVICES: tuple[str, ...] = get_args(DeviceName)

# All random number generators take 32-bit seeds; some seeds are incremented from the given one.
MOST_SEED = 2**32 - 2**16


@dataclass(frozen=True)
class Term:
    """One correlation of a similarity (see `similarity.terms`).

    filter: none, gradient (derivative of a Gaussian of `sigma` pixels), sobel (3 x 3), or smooth_sobel (a Gaussian of
        `sigma` pixels, then sobel).
    window: edge of the square patches [pixels], None for one window over the whole image.
    stride: distance between patches [pixels].
    weight: the term's share of the sum.
    floor: share of the image's mean variance that is added to the variance of every patch of X-ray and DRR, so that
        noise in flat patches does not count as structure.
    epsilon: where above 0, both images are first scaled to the range 0 to 1, and this is also added to every
        variance, the safeguard against flat images in published systems.
    padded: whether filters zero-pad the image and the border is compared too; otherwise only pixels whose whole
        neighbourhood lies inside are compared.
    """

    filter: Filter = "none"
    sigma: float = 1.0
    window: int | None = None
    stride: int = 1
    weight: float = 1.0
    floor: float = 1e-4
    epsilon: float = 0.0
    padded: bool = False


def patch_gradient(window: int, weight: float = 1.0, floor: float = 0.05) -> Term:
    """Correlation of derivatives in patches: insensitive to tone curves, scatter and exposure, which change slowly.

    The floor suppresses noise in flat patches, but favours DRRs of higher contrast and so shifts the optimum by up to
    0.2 mm; the finest levels use a lower one.
    """
    return Term("gradient", sigma=1.0, window=window, stride=max(1, window // 4), weight=weight, floor=floor)


@dataclass(frozen=True)
class PosePrior:
    """Prior of the true pose about the nominal one: standard deviations in the first camera's axes.

    Default: the distribution of Chen et al. (ISBI 2024).
    """

    rotation_deg: tuple[float, float, float] = (20.0, 20.0, 20.0)
    translation_mm: tuple[float, float, float] = (30.0, 30.0, 60.0)


@dataclass(frozen=True)
class LevelSettings:
    """One level of the pyramid: longest image side [pixels], maximum of steps, and similarity terms."""

    image_px: int
    max_steps: int
    terms: tuple[Term, ...] = (patch_gradient(13),)


@dataclass(frozen=True)
class StepSettings:
    """Limits on one optimiser step: a smaller one ends the level, a larger one is shortened.

    stop_gain: a step whose actual or predicted gain of similarity is below this ends the level too.
    """

    stop_rotation_deg: float = 0.005
    stop_translation_mm: float = 0.02
    stop_gain: float = 1e-5
    most_rotation_deg: float = 10.0
    most_translation_mm: float = 40.0


@dataclass(frozen=True)
class Resampling:
    """Resampling of hypotheses around the optima of a search's first level, in rounds.

    Where the initial hypotheses miss the correct pose, they often hold wrong optima near it: on X-rays that show little
    of the body this found 24 of 27 poses that were otherwise missed.

    rounds: maximum; patience: number of successive rounds without improvement after which it ends.
    prior: spread about each optimum. hypotheses: per round, for all optima together.
    survivors: how many of them are refined.
    """

    rounds: int = 6
    patience: int = 2
    prior: PosePrior = field(default_factory=lambda: PosePrior((10.0, 10.0, 10.0), (15.0, 15.0, 40.0)))
    hypotheses: int = 240
    survivors: int = 16


@dataclass(frozen=True)
class SearchSettings:
    """Search: many hypotheses ranked on small images, the best refined in small steps (design.md 6.3).

    spread: factor by which hypotheses are drawn wider than the prior, because searches fail in its tails.
    survivors: how many hypotheses each level refines. finalists: maximum of distinct results, none of them with a
    similarity lower than the best's by more than `outclassed`.
    resampling: what follows on the first level.
    """

    prior: PosePrior = field(default_factory=PosePrior)
    spread: float = 1.2
    hypotheses: int = 1000
    levels: tuple[LevelSettings, ...] = (
        LevelSettings(32, 12, (Term(weight=0.5), patch_gradient(9, weight=0.5))),
        LevelSettings(64, 12, (Term(weight=0.5), patch_gradient(13, weight=0.5))),
    )
    survivors: tuple[int, ...] = (24, 8)
    finalists: int = 3
    outclassed: float = 0.25
    resampling: Resampling = field(default_factory=Resampling)


@dataclass(frozen=True)
class RefineSettings:
    """Multi-resolution Levenberg-Marquardt; levels from coarse to fine.

    prior_weight: cost of a pose one standard deviation from the expected one (times two); small, so that it only
        determines what the images do not constrain.
    """

    levels: tuple[LevelSettings, ...] = (
        LevelSettings(64, 20, (Term(weight=0.5), patch_gradient(13, weight=0.5))),
        LevelSettings(128, 15),
        LevelSettings(256, 12, (patch_gradient(13, floor=0.01),)),
    )
    step: StepSettings = field(default_factory=StepSettings)
    prior_weight: float = 0.002


# Around approximate poses: a few times the error of networks, and the distance of a search's wrong optima from the
# correct one.
AROUND_SEARCH = SearchSettings(
    prior=PosePrior((8.0, 8.0, 8.0), (15.0, 15.0, 40.0)),
    spread=1.0,
    hypotheses=300,
    survivors=(12, 5),
    finalists=2,
    resampling=Resampling(rounds=2, patience=1),
)

# When only a part of the X-ray's content is rendered (one bone of a hand), small images show too little of it: the
# search stays near the given initial pose and starts on larger ones.
PART_SEARCH = SearchSettings(
    prior=PosePrior((15.0, 15.0, 15.0), (10.0, 10.0, 30.0)),
    spread=1.0,
    hypotheses=400,
    levels=(LevelSettings(128, 12), LevelSettings(256, 6)),
    survivors=(12, 4),
    finalists=2,
    resampling=Resampling(rounds=0),
)


@dataclass(frozen=True)
class NetworkStart:
    """Use of the poses that a trained network predicts for the X-rays.

    looks: test-time augmentation: number of slightly rotated copies of each X-ray whose predictions are combined.
    level: used to rank them by rendering, and the first to refine them. refined: number of distinct ones refined on it.
    """

    looks: int = 16
    level: LevelSettings = LevelSettings(64, 12, (Term(weight=0.5), patch_gradient(13, weight=0.5)))
    refined: int = 3


@dataclass(frozen=True)
class SimilarityStart:
    """Search with a learned similarity before the built-in one: hypotheses to try first.

    hypotheses: drawn around the available starts and ranked by it; none where no search was requested.
    descents: number of the best that are refined along its gradient; steps: maximum in each.
    """

    hypotheses: int = 40
    descents: int = 2
    steps: int = 40


@dataclass(frozen=True)
class SecondLooks:
    """Further searches while no pose is confirmed (see `pipeline`).

    rounds: maximum; part_rounds: the same where only a small part of the X-ray is compared, and each takes long.
    fresh: how many of them may restart globally, where a search around the best pose brings no improvement.
    promising: similarity from which a search is made around the best pose.
    """

    rounds: int = 3
    part_rounds: int = 2
    fresh: int = 1
    promising: float = 0.2


@dataclass(frozen=True)
class RegistrationSettings:
    """All parameters of one registration besides its scene.

    hopeless: similarity on the level before the finest one below which refined poses are abandoned for the next kind of
        start. On simulated X-rays, including hard ones, correct poses had at least 0.45 there, wrong ones at most 0.13.
    """

    init: str = field(
        default="auto",
        metadata={
            "help": "where to start: auto (the case pose, then a search), case, search, or the file of a trained "
            "network (model.pt), whose poses are refined, followed by a search where they do not fit"
        },
    )
    similarity: str | None = field(
        default=None,
        metadata={
            "help": "file of a learned similarity (sim.pt), which proposes where to look first; refinement and verdict "
            "stay ours"
        },
    )
    effort: Effort = field(default="standard", metadata={"help": "how long to look", "choices": EFFORTS})
    engine: EngineName = field(default="auto", metadata={"help": "render engine", "choices": ENGINES})
    device: DeviceName = field(default="auto", metadata={"help": "where to compute", "choices": DEVICES})
    seed: int = field(default=0, metadata={"help": "seed of everything random", "least": 0, "most": MOST_SEED})
    search: SearchSettings = field(default_factory=SearchSettings)
    part_search: SearchSettings = PART_SEARCH
    around: SearchSettings = AROUND_SEARCH
    network: NetworkStart = field(default_factory=NetworkStart)
    learned: SimilarityStart = field(default_factory=SimilarityStart)
    second: SecondLooks = field(default_factory=SecondLooks)
    refine: RefineSettings = field(default_factory=RefineSettings)
    hopeless: float = 0.2


def registration_settings(effort: Effort = "standard", **changes: Any) -> RegistrationSettings:
    """The settings of an effort, with individual ones changed by name.

    fast: half the hypotheses, and no second global search; thorough: four times as many, and more of them refined.
    """
    settings = RegistrationSettings(effort=effort, **changes)
    factor = {"fast": 0.5, "standard": 1.0, "thorough": 4.0}[effort]
    survivors = {"fast": 0.5, "standard": 1.0, "thorough": 2.0}[effort]

    def scaled(search: SearchSettings) -> SearchSettings:
        return replace(
            search,
            hypotheses=round(search.hypotheses * factor),
            survivors=tuple(round(count * survivors) for count in search.survivors),
        )

    return replace(
        settings,
        search=scaled(settings.search),
        part_search=scaled(settings.part_search),
        around=scaled(settings.around),
        second=replace(
            settings.second, rounds=round(settings.second.rounds * factor), fresh=round(settings.second.fresh * factor)
        ),
    )
