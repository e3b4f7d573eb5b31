"""The knobs of a registration."""

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

# Every generator of random numbers takes seeds of 32 bits; some are counted up from the one that was given.
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
    epsilon: where above 0, both images are first brought to the range 0 to 1, and this is added to every variance
        besides; the guard against flat images that published systems write down.
    padded: whether filters count what lies beyond the border as zero and the border is compared too; otherwise only
        pixels are whose whole neighbourhood lies inside.
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
    """Correlation of derivatives in patches: deaf to tone curves, scatter and exposure, which change slowly.

    The floor keeps noise in flat patches out, but prefers DRRs of higher contrast and so moves the optimum by up to
    0.2 mm; finest levels take a lower one.
    """
    return Term("gradient", sigma=1.0, window=window, stride=max(1, window // 4), weight=weight, floor=floor)


@dataclass(frozen=True)
class PosePrior:
    """How far the true pose may lie from the nominal one: standard deviations in the first camera's axes.

    Default: the distribution of Chen et al. (ISBI 2024).
    """

    rotation_deg: tuple[float, float, float] = (20.0, 20.0, 20.0)
    translation_mm: tuple[float, float, float] = (30.0, 30.0, 60.0)


@dataclass(frozen=True)
class LevelSettings:
    """One level of the pyramid: longest image side [pixels], steps allowed on it, and what is compared."""

    image_px: int
    max_steps: int
    terms: tuple[Term, ...] = (patch_gradient(13),)


@dataclass(frozen=True)
class StepSettings:
    """Limits on one optimiser step: a smaller one ends the level, a larger one is shortened.

    stop_gain: a step that gains less similarity than this, or promises to, ends the level too.
    """

    stop_rotation_deg: float = 0.005
    stop_translation_mm: float = 0.02
    stop_gain: float = 1e-5
    most_rotation_deg: float = 10.0
    most_translation_mm: float = 40.0


@dataclass(frozen=True)
class Resampling:
    """Hypotheses drawn anew around the optima of a search's first level, round by round.

    Where the right pose was not among the first hypotheses, wrong optima near it are: on X-rays that show little of the
    body this found 24 of 27 poses that were missed without.

    rounds: how many at most; patience: so many in a row that find nothing better end it.
    prior: how far they are drawn from each optimum. hypotheses: of a round, for all optima together.
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

    spread: hypotheses are drawn this much wider than the prior, because its tails are where searches fail.
    survivors: how many hypotheses each level refines. finalists: how many distinct ones come out at most, none of them
    with a similarity lower than the best's by more than `outclassed`.
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

    prior_weight: cost of a pose one standard deviation from where it is expected (times two); small, so that it only
        decides what the images leave open.
    """

    levels: tuple[LevelSettings, ...] = (
        LevelSettings(64, 20, (Term(weight=0.5), patch_gradient(13, weight=0.5))),
        LevelSettings(128, 15),
        LevelSettings(256, 12, (patch_gradient(13, floor=0.01),)),
    )
    step: StepSettings = field(default_factory=StepSettings)
    prior_weight: float = 0.002


# Around poses that are nearly right: a few times as wide as networks err, and as far as wrong optima of a search lie
# from the right one.
AROUND_SEARCH = SearchSettings(
    prior=PosePrior((8.0, 8.0, 8.0), (15.0, 15.0, 40.0)),
    spread=1.0,
    hypotheses=300,
    survivors=(12, 5),
    finalists=2,
    resampling=Resampling(rounds=2, patience=1),
)

# When only a part of what the X-ray shows is rendered (one bone of a hand), small images hold too little of it: the
# search stays near a pose that somebody set and starts on larger ones.
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
    """What is made of the poses that a trained network gives for the X-rays.

    looks: how often the network is shown each X-ray, turned a little, for what its answers agree on.
    level: ranks them by rendering, and is the first to refine them. refined: how many distinct ones that does.
    """

    looks: int = 16
    level: LevelSettings = LevelSettings(64, 12, (Term(weight=0.5), patch_gradient(13, weight=0.5)))
    refined: int = 3


@dataclass(frozen=True)
class SimilarityStart:
    """What a learned similarity is asked before our own is: hypotheses to try first.

    hypotheses: drawn around the starts there are, and ranked by it; none where no search was asked for.
    descents: from how many of the best its slope is followed; steps: at most, in each.
    """

    hypotheses: int = 40
    descents: int = 2
    steps: int = 40


@dataclass(frozen=True)
class SecondLooks:
    """Searches that follow while no pose is beyond doubt (see `pipeline`).

    rounds: how many at most; part_rounds: where only a small part of the X-ray is compared, and each takes long.
    fresh: how many of them may begin anew, everywhere, where a search around the best pose leads no further.
    promising: similarity from which the best pose is searched around.
    """

    rounds: int = 3
    part_rounds: int = 2
    fresh: int = 1
    promising: float = 0.2


@dataclass(frozen=True)
class RegistrationSettings:
    """All that one registration needs to know besides its scene.

    hopeless: similarity on the level before the finest one below which refined poses are given up for the next way to
        start. On simulated X-rays, hard ones among them, right poses had at least 0.45 there, wrong ones at most 0.13.
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
    """The settings of an effort, with single ones changed by name.

    fast: half the hypotheses, and no second search everywhere; thorough: four times as many, and more of them refined.
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
