"""Settings of training: distribution of poses and appearances, network architecture, optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from .registration import DEVICES, ENGINES, MOST_SEED, DeviceName, EngineName
from .similarity import SimilaritySettings

Law = Literal["normal", "uniform"]
Coordinates = Literal["twist", "carm"]
Backbone = Literal["small", "resnet18", "resnet34"]
RotationHead = Literal["sixd", "quaternion"]
Norm = Literal["auto", "batch", "group"]
Clipping = Literal["norm", "adaptive"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]

BACKBONES: tuple[str, ...] = get_args(Backbone)
ROTATION_HEADS: tuple[str, ...] = get_args(RotationHead)
NORMS: tuple[str, ...] = get_args(Norm)
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)


@dataclass(frozen=True)
class PoseDistribution:
    """Distribution of C-arm positions about the isocentre of a patient lying head first supine.

    primaries_deg: primary angles of the nominal views, equally likely (0 is PA, 180 AP, 90 left lateral; DICOM's sign).
    sod_mm: nominal distance from source to isocentre.
    law: normal (the spreads are standard deviations) or uniform (they are half widths).
    coordinates: twist (rotation vector and translation in camera axes, applied to the nominal view) or carm (primary,
        secondary, roll, right, up and depth, added to the nominal view's; see `geometry.Placement`).
    rotation_deg, translation_mm: spreads of the three rotations and of the three translations.
    centre_offset_mm: the translation about which the translations spread, in the same axes.
    """

    primaries_deg: tuple[float, ...] = (0.0,)
    sod_mm: float = 700.0
    law: Law = "normal"
    coordinates: Coordinates = "twist"
    rotation_deg: tuple[float, float, float] = (20.0, 20.0, 20.0)
    translation_mm: tuple[float, float, float] = (30.0, 30.0, 60.0)
    centre_offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


DISTRIBUTIONS: dict[str, PoseDistribution] = {
    # Chen et al. (ISBI 2024): N(0, 20 deg) about each axis, N(0, 30 mm) in the image, N(0, 60 mm) in depth.
    "chen": PoseDistribution(),
    # Gao et al. (MICCAI 2020): N(0, 20 deg) and N(0, 37.5 mm) along all axes, for targets and starts alike.
    "prost": PoseDistribution((0.0,), 620.0, "normal", "twist", (20.0,) * 3, (37.5,) * 3),
    # Gao et al. (TMI 2024): N(0, 25 deg), N(0, 25 mm) in the image, N(0, 60 mm) in depth.
    "prost-tmi": PoseDistribution((0.0,), 620.0, "normal", "twist", (25.0,) * 3, (25.0, 25.0, 60.0)),
    # SOPI (ICASSP 2024): 20 degrees about one axis and 10 about the others, 30 mm, depth 600..750.
    "sopi": PoseDistribution((0.0,), 675.0, "uniform", "twist", (20.0, 10.0, 10.0), (30.0, 30.0, 75.0)),
    # The next four are the training ranges of xvr (arXiv 2503.16309; methods.md A2), whose first angle is DICOM's
    # primary angle: r1, r2, r3 are primary, secondary and roll, ty is the depth and tz runs along the patient.
    # r1 135..225, r2 +-45, r3 +-15, tx and tz +-150, ty 450..1000.
    "deepfluoro": PoseDistribution((180.0,), 725.0, "uniform", "carm", (45.0, 45.0, 15.0), (150.0, 150.0, 275.0)),
    # r1 -45..105, r2 and r3 +-5, tx and tz +-25, ty 700..800.
    "ljubljana": PoseDistribution((30.0,), 750.0, "uniform", "carm", (75.0, 5.0, 5.0), (25.0, 25.0, 50.0)),
    # r1 75..270, r2 and r3 +-20, tx +-75, ty 650..950, tz 0..100: the source stands towards the head of the isocentre.
    "femur": PoseDistribution(
        (172.5,), 800.0, "uniform", "carm", (97.5, 20.0, 20.0), (75.0, 50.0, 150.0), (0.0, -50.0, 0.0)
    ),
    # r1 +-125, r2 +-30, r3 +-15, ty 700..800; the shifts in the image are ours.
    "skull": PoseDistribution((0.0,), 750.0, "uniform", "carm", (125.0, 30.0, 15.0), (25.0, 25.0, 50.0)),
    # This project's: usual C-arm rotations about a patient on a table (10 to 25 degrees either way covers inlet, outlet
    # and oblique views), and a patient about 10 cm off the isocentre.
    "pelvis": PoseDistribution((0.0,), 700.0, "normal", "carm", (20.0, 20.0, 8.0), (40.0, 40.0, 60.0)),
    "spine": PoseDistribution((0.0, 90.0, -90.0), 700.0, "normal", "carm", (15.0, 12.0, 8.0), (30.0, 60.0, 60.0)),
    "chest": PoseDistribution((0.0, 180.0), 900.0, "normal", "carm", (15.0, 12.0, 6.0), (40.0, 50.0, 120.0)),
    "brain": PoseDistribution((0.0, 90.0, -90.0), 750.0, "normal", "carm", (20.0, 15.0, 8.0), (20.0, 20.0, 40.0)),
    "vessels": PoseDistribution((0.0,), 750.0, "normal", "carm", (35.0, 20.0, 6.0), (25.0, 25.0, 40.0)),
    "any_side": PoseDistribution(
        (0.0, 90.0, 180.0, -90.0), 700.0, "normal", "carm", (25.0, 15.0, 10.0), (30.0, 30.0, 60.0)
    ),
}


def distribution_named(name: str) -> PoseDistribution:
    """A preset; raises InputError for an unknown name."""
    if name not in DISTRIBUTIONS:
        # Imported here: it imports numpy, which the command line does not need before there is work.
        from ..checks import InputError

        raise InputError(
            "pose distribution", expected=f"one of {', '.join(DISTRIBUTIONS)}", found=name, remedy="choose one of them"
        )
    return DISTRIBUTIONS[name]


@dataclass(frozen=True)
class NetworkCamera:
    """The square pinhole camera of a network's input images; X-rays of other cameras are resampled to it.

    image_px: edge of the image [pixels]. field_mm: edge of the detector [mm]. sid_mm: source to detector [mm].
    """

    image_px: int = field(default=64, metadata={"least": 1, "most": 2048})
    field_mm: float = field(default=400.0, metadata={"least": 1.0, "most": 1e4})
    sid_mm: float = field(default=1020.0, metadata={"least": 1.0, "most": 1e5})


@dataclass(frozen=True)
class AppearanceSettings:
    """Ranges of the appearance of X-rays of the same pose; everything is drawn independently for every image.

    Pairs are the least and the largest value drawn; single numbers from `chance` on are the shares of the images that
    have an effect.
    bone_contrast: factor on bone besides the spectrum's effect (calibration of the CT, osteoporosis, contrast agent).
    low_energy: share of the beam at 40 keV, the rest at 70 keV; bone contrast and beam hardening grow with it.
    scatter: scatter-to-primary ratio behind a trunk; less behind a limb.
    gain: standard deviation of the logarithm of the slow variation over the image (heel effect, detector, processing).
    noise: standard deviation over mean where nothing attenuates, per pixel of the network's image.
    blur_px: standard deviation of the blur [pixels]; below 0 the image is sharpened as by display software.
    gamma, s_curve: tone curve of the attenuation: an exponent, and the weight of an S (below 0 of its inverse).
    chance: of scatter, gain, tone curve and clipped ends, each.
    inversion: bright and dark exchanged. collimation: a field bounded by blades or a circle; unseen: share of these
    fields that are not recognised, so that the shadow counts as image. truncation: the X-ray is smaller than the
    network's image. erasing: a patch burnt out or painted over. instruments: wires, rods, screws and plates.
    continued: the body is extended beyond the scan (see `networks.data.extend_body`). surroundings: round pieces of
    soft tissue and bone, only around a segmented part of the body (structures, or a volume without Hounsfield units).
    """

    bone_contrast: tuple[float, float] = (0.75, 1.5)
    low_energy: tuple[float, float] = (0.0, 0.7)
    scatter: tuple[float, float] = (0.0, 1.0)
    gain: float = 0.08
    noise: tuple[float, float] = (0.0003, 0.01)
    blur_px: tuple[float, float] = (-0.4, 0.8)
    gamma: tuple[float, float] = (0.6, 1.6)
    s_curve: tuple[float, float] = (-0.5, 1.0)
    chance: float = 0.3
    inversion: float = 0.0
    collimation: float = 0.25
    unseen: float = 0.15
    truncation: float = 0.1
    erasing: float = 0.1
    instruments: float = 0.15
    continued: float = 0.1
    surroundings: float = 0.7


@dataclass(frozen=True)
class NetworkSettings:
    """The network: backbone, rotation head and number of hypotheses.

    width: channels of the first stage of the small backbone.
    norm: its normalisation. Batch normalisation learns faster; group normalisation needs neither one patient in all
    batches nor statistics shared between processes. auto chooses one of them when training begins.
    """

    backbone: Backbone = field(default="small", metadata={"help": "network", "choices": BACKBONES})
    rotation: RotationHead = field(default="sixd", metadata={"help": "rotation head", "choices": ROTATION_HEADS})
    hypotheses: int = field(default=4, metadata={"help": "poses predicted for an X-ray", "least": 1, "most": 256})
    width: int = field(default=16, metadata={"least": 1, "most": 256})
    norm: Norm = "auto"

    def settled(self, patients: int, processes: int) -> NetworkSettings:
        """The settings with a normalisation suited to the number of patients and processes of a run."""
        if self.norm != "auto":
            return self
        return replace(self, norm="batch" if patients == processes == 1 else "group")


@dataclass(frozen=True)
class LossSettings:
    """Weights of the loss terms; a term of weight 0 is not computed.

    geodesic: sqrt((SID/2 angle)^2 + distance^2) of the isocentre's frame [mm] (xvr). points: mean distance of projected
    points at the isocentre's depth [mm]. shift: distance of the isocentre, a quarter of it along the beam [mm]. image:
    1 - mNCC of the DRR at the predicted pose. region: soft-occupancy overlap of that DRR. consistency: relative pose
    between views of one volume (xvr's multi-view term).
    rendered: images of a batch that image and region are computed on, 0 for all; each costs a DRR and its gradient.
    sharpness_mm, sharpness_share: the error that divides a hypothesis's likelihood in the mixture by e is this share of
    the batch's mean error of the nearest hypothesis, within these limits. If larger, all hypotheses would collapse to
    the most frequent of several poses that one image can have; if smaller, they would partition the network's remaining
    uncertainty, and the most probable one would be off its centre.
    """

    geodesic: float = 1.0
    points: float = 0.0
    shift: float = 4.0
    image: float = 0.0
    region: float = 0.0
    consistency: float = 0.0
    rendered: int = 16
    sharpness_mm: tuple[float, float] = (10.0, 60.0)
    sharpness_share: float = 0.5


@dataclass(frozen=True)
class TrainingSettings:
    """One training run. Either `minutes` or `iterations` ends it, whichever comes first; 0 means no such limit.

    warm_up: share of the run in which the learning rate rises. clip: largest norm of the gradient, or, where `clipping`
    is adaptive, largest ratio of a unit's gradient norm to its weight norm; 0 for no limit. accumulate: batches of a
    step. patience: validations without improvement after which the run ends, 0 for never.
    validation_poses: number of DRRs for validation; validation_xrays: of simulated X-rays, which take longer to make.
    precision: data type of the network's inner layers; auto takes 16 bits where they are faster.
    similarity: settings for training a similarity; None for training pose prediction (see `network` and `loss`).
    """

    minutes: float = field(default=5.0, metadata={"help": "time to train [minutes]", "least": 0, "most": 1e6})
    iterations: int = field(
        default=0, metadata={"help": "iterations to train, 0 for no limit but the time", "least": 0, "most": 10**12}
    )
    batch: int = field(
        default=64,
        metadata={"help": "images in a batch; fewer for similarities", "least": 1, "most": 2**16},
    )
    learning_rate: float = field(default=3e-3, metadata={"help": "peak learning rate", "least": 1e-12, "most": 10.0})
    weight_decay: float = 1e-2
    warm_up: float = 0.02
    clip: float = 1.0
    clipping: Clipping = "norm"
    accumulate: int = 1
    patience: int = 0
    validate_every_s: float = 30.0
    validation_poses: int = 64
    validation_xrays: int = 32
    precision: PrecisionName = "auto"
    least_visible: float = 0.1
    seed: int = field(default=0, metadata={"help": "seed of everything random", "least": 0, "most": MOST_SEED})
    engine: EngineName = field(default="auto", metadata={"help": "render engine", "choices": ENGINES})
    device: DeviceName = field(default="auto", metadata={"help": "where to compute", "choices": DEVICES})
    camera: NetworkCamera = field(default_factory=NetworkCamera)
    poses: PoseDistribution = field(default_factory=PoseDistribution)
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    similarity: SimilaritySettings | None = None

    @property
    def pixel_at_patient_mm(self) -> float:
        """Edge of a pixel of the network's camera at the isocentre [mm]."""
        return self.camera.field_mm / self.camera.image_px * self.poses.sod_mm / self.camera.sid_mm
