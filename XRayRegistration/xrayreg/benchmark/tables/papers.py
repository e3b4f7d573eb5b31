"""Descriptions of three papers' tables for their reproduction: rows, published numbers, and differences.

Published numbers are in `literature`; this module states which of our methods corresponds to a row, what has to be
trained for it, on which poses, and how far the numbers may be compared (methods.md A1 to A5, E1 to E4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...checks import InputError
from ...settings import SimilarityName
from .literature import CHEN, CMAREG, PROST, Published, published_line

PaperName = Literal["isbi2024", "prost", "xvr"]
PAPER_NAMES: tuple[PaperName, ...] = get_args(PaperName)


@dataclass(frozen=True)
class PaperTraining:
    """Training length in a publication: iterations, batch size, minutes (0 if not published), and the source."""

    iterations: int
    batch: int
    source: str
    minutes: float = 0.0


@dataclass(frozen=True)
class TableNetwork:
    """A network that rows need.

    name: of its file, and of our method that is the network alone. architecture: of a learned similarity, None for one
    that predicts poses. arm: whose poses and camera it is trained for. elsewhere: published training for comparison.
    """

    name: str
    architecture: SimilarityName | None
    arm: str
    elsewhere: PaperTraining


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table.

    title: as published. method: our method for this row. network: name of the `TableNetwork` it needs, empty for none.
    published: its numbers, None if unknown. same, different: what may be compared, and what not.
    told: a published result that does not fit our columns, as text.
    """

    title: str
    method: str
    same: str
    different: str
    network: str = ""
    published: Published | None = None
    told: str = ""


@dataclass(frozen=True)
class PaperArm:
    """The rows that are run on the cases of one arm; same, different: statements that apply to all of them."""

    arm: str
    rows: tuple[PaperRow, ...]
    same: str
    different: str


@dataclass(frozen=True)
class PaperTable:
    """A paper's table. title: for display. networks: needed by its rows, in the order in which they are trained."""

    name: PaperName
    title: str
    arms: tuple[PaperArm, ...]
    networks: tuple[TableNetwork, ...]

    def network(self, name: str) -> TableNetwork:
        """The network of that name."""
        return next(network for network in self.networks if network.name == name)

    def arm(self, name: str) -> PaperArm | None:
        """The rows of an arm by its name, None where the table has no such arm."""
        return next((some for some in self.arms if some.arm == name), None)


def paper_table(name: str) -> PaperTable:
    """The table of that name; raises InputError, naming all, where there is none."""
    if name not in _TABLES:
        raise InputError("--table", expected=f"one of {', '.join(_TABLES)}", found=name, remedy="choose one of them")
    return _TABLES[name]


# The code of ProST's second paper: 2000 epochs of 50 iterations, 2 images each. The training lengths of the first
# paper, of Chen and of SOPI are not known to us.
_TMI = PaperTraining(100_000, 2, "the code of Gao et al., TMI 2024")
_TMI_FOR_CHEN = PaperTraining(100_000, 2, "the code of Gao et al., TMI 2024, as this paper does not say")
_XVR = PaperTraining(30_000, 116, "Gopalakrishnan et al., 2025, for one patient", 720.0)
# ProST's second paper names pose regression as a baseline; its training is not known.
_REGRESSION = PaperTraining(100_000, 2, "the code of Gao et al., TMI 2024, for its own network")

_OURS = PaperRow(
    "This program",
    "ours",
    "On the same X-rays as all rows.",
    "Not in the paper. It searches around the start before it refines, and rejects what it does not trust.",
)
_START = "The start's error depends on the poses and the targets alone."
_OPTIMISER = "An evolution strategy from the same start, with bounds, population and similarity as in"
_DESCENT = "The network's own descent from the same start, without CMA-ES."
_PATIENT = (
    "The network is trained on the very CT that is registered, on images of 64 pixels simulated as it goes; the "
    "paper's on other patients and finer images."
)
_NARROW = "Our network is half as wide as published, so that it makes more steps in the time."
_NO_UNREFINED = "No share of successes is published without CMA-ES."


def _learned(
    title: str, network: str, source: str, alone: str, then: str, words: str, told: str = ""
) -> tuple[PaperRow, ...]:
    """A learned similarity alone, and then CMA-ES; alone, then: the published lines, empty for none."""
    return (
        PaperRow(
            title,
            network,
            _DESCENT,
            f"{words} {_NARROW} {_PATIENT} {_NO_UNREFINED}",
            network,
            published_line(alone, source) if alone else None,
        ),
        PaperRow(
            f"{title} + CMA-ES",
            f"{network}+cmaes",
            "The same descent, then the CMA-ES of the row without a network.",
            f"{words} {_NARROW} {_PATIENT}",
            network,
            published_line(then, source) if then else None,
            told,
        ),
    )


def _isbi() -> PaperTable:
    rows = (
        PaperRow(
            "Initial",
            "initial",
            f"{_START} By the far lever it has to agree with the paper's, else our reading of its metric is wrong.",
            "In the camera frame it is a third of what is printed.",
            published=published_line("Start", CHEN),
        ),
        PaperRow(
            "CMA-ES",
            "cmaes-chen",
            f"{_OPTIMISER} the authors' CMAREG.",
            "The paper does not print the settings of its row. CMAREG's own page tells "
            f"{published_line('CMA-ES (CMAREG)', CMAREG).far_sr10:g} % for these, from starts that are somewhat "
            "nearer, so that a better result than the paper's is to be expected.",
            published=published_line("CMA-ES", CHEN),
        ),
        *_learned(
            "ProST",
            "prost",
            CHEN,
            "ProST",
            "ProST + CMA-ES",
            "The architecture is that of MICCAI 2020 without the 3D network, which Chen et al. trained anew.",
        ),
        *_learned(
            "SOPI",
            "sopi",
            CHEN,
            "SOPI",
            "SOPI + CMA-ES",
            "The second stage alone: SOPI's own start from a regressor is left out. Its released test chooses, with "
            "the truth in hand, the better of start and result for each parameter, so that what its authors print is "
            "an upper bound; whether this row is one too is not said.",
        ),
        *_learned(
            "Chen et al.",
            "correlation",
            CHEN,
            "Chen et al.",
            "Chen et al. + CMA-ES",
            "The heads are ours: those of the released code have 353 million weights, and how their scores are joined "
            "is not in it.",
        ),
        _OURS,
    )
    same = (
        "Poses are drawn as the paper tells (N(0, 20°), N(0, 30 mm) in the image, N(0, 60 mm) in depth), with its "
        "camera; all rows have the same X-rays. Its numbers are to be read beside the far-lever columns alone."
    )
    different = (
        "One CT instead of 47; X-rays of a simulator with scatter and noise instead of the paper's; its metric is "
        "reconstructed from the printed errors of the start."
    )
    networks = (
        TableNetwork("prost", "prost", "C-A", _TMI_FOR_CHEN),
        TableNetwork("sopi", "sopi", "C-A", _TMI_FOR_CHEN),
        TableNetwork("correlation", "correlation", "C-A", _TMI_FOR_CHEN),
    )
    return PaperTable(
        "isbi2024", "Chen et al., ISBI 2024, Table 1", (PaperArm("C-A", rows, same, different),), networks
    )


def _prost() -> PaperTable:
    real = "On real X-rays the paper has {} %; ours are simulated."
    start = PaperRow("Initial", "initial", _START, "No such row is known to us from the paper.")
    cmaes = PaperRow(
        "CMA-ES",
        "cmaes-chen",
        "An evolution strategy from the same start; the same that follows the networks here.",
        f"The paper's is xReg's, on patches of gradients, and not this one. {real.format(36.0)}",
        published=published_line("CMA-ES", PROST),
    )
    with_real = "73.2 % below 10 mm and a median of 2.2 mm on real X-rays"
    images = (
        "Simulated pelvis, {} and the camera of ProST's code. Errors are mTRE, success below 10 mm, as in the paper."
    )
    other = "One CT; the whole patient is in the X-rays, of which ProST's show bones alone."
    arms = (
        PaperArm(
            "P-A",
            (
                start,
                cmaes,
                *_learned(
                    "ProST (MICCAI 2020)",
                    "prost",
                    PROST,
                    "",
                    "ProST + CMA-ES",
                    "The network is that of MICCAI 2020 without its 3D part, the numbers are those of TMI 2024 for "
                    "another network and wider poses: they stand here for orientation.",
                    with_real,
                ),
                _OURS,
            ),
            images.format("poses of MICCAI 2020 (N(0, 20°), N(0, 37.5 mm))"),
            f"{other} The published numbers are of TMI 2024, whose poses are those of arm P-B.",
        ),
        PaperArm(
            "P-B",
            (
                start,
                cmaes,
                PaperRow(
                    "Pose regression",
                    "network",
                    "One look of a network that predicts the pose, as the paper compares itself with.",
                    "Our own network instead of PoseNet and its kin; its numbers are in the paper's figures alone and "
                    f"not known to us. {_PATIENT}",
                    "network",
                ),
                *_learned(
                    "ProST (TMI 2024)",
                    "prost-vit",
                    PROST,
                    "",
                    "ProST + CMA-ES",
                    "The CrossViT of TMI 2024 without its 3D part.",
                    with_real,
                ),
                _OURS,
            ),
            images.format("poses of TMI 2024's code (N(0, 25°), N(0, 25 mm) in the image, N(0, 60 mm) in depth)"),
            f"{other} The paper's own list of poses is not public.",
        ),
    )
    networks = (
        TableNetwork("prost", "prost", "P-A", _TMI),
        TableNetwork("prost-vit", "prost-vit", "P-B", _TMI),
        TableNetwork("network", None, "P-B", _REGRESSION),
    )
    return PaperTable("prost", "ProST: Gao et al., MICCAI 2020 and IEEE TMI 43(1), 2024", arms, networks)


def _xvr() -> PaperTable:
    nothing = "Its shares below 1 mm are in a figure alone, and on real X-rays."
    rows = (
        PaperRow(
            "Fixed pose",
            "initial",
            "A fixed AP view in the middle of the range, as xvr's registrar of that name.",
            "No such row is known to us from the paper.",
        ),
        PaperRow(
            "Fixed pose + refinement",
            "xvr",
            "Adam on the paper's similarity, with its rates, its scales and its stops.",
            f"{nothing} The start from a DICOM header, with 30.5 % successes rated by experts, cannot be simulated "
            "without their headers.",
        ),
        PaperRow(
            "Network",
            "network",
            "One look of a network for this patient, trained on the paper's range of poses.",
            "Our own network and losses, 64 pixels instead of 128; the paper's error is on real X-rays and in a metric "
            "that it does not say.",
            "network",
            told="20 to 40 mm for a patient's own or finetuned network",
        ),
        PaperRow(
            "Network + refinement",
            "network+xvr",
            "The same network, then the paper's refinement.",
            f"{nothing} 96.2 % are successes on 122 clinical X-rays as experts rated them, no error in millimetres.",
            "network",
            told="96.2 % rated as successes by experts",
        ),
        PaperRow(
            "Network + this program's refinement",
            "network+ours",
            "The same network and the same X-rays.",
            "Not in the paper.",
            "network",
        ),
        _OURS,
    )
    same = "Poses are drawn evenly from the range on which the paper trains for DeepFluoro, with its camera."
    different = "Simulated X-rays of one CT, with poses all over the training range; the paper's are real X-rays."
    networks = (TableNetwork("network", None, "X-A", _XVR),)
    return PaperTable(
        "xvr",
        "xvr: Gopalakrishnan et al., arXiv 2503.16309, 2025",
        (PaperArm("X-A", rows, same, different),),
        networks,
    )


_TABLES: dict[str, PaperTable] = {table.name: table for table in (_isbi(), _prost(), _xvr())}
