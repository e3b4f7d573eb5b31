"""The phantom as sample data: generated on this computer, nothing is downloaded."""

from __future__ import annotations

import zlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from . import dependencies

if TYPE_CHECKING:
    from .mrml.backend import Inputs
    from .parameters import Parameters
    from .worker.client import Worker

CASE = "case.json"
CATEGORY = "X-ray Registration"
NAMES = ("X-ray phantom", "X-ray phantom, two views")
_THUMBNAILS = ("XRayPhantom.png", "XRayPhantomTwoViews.png")
# Fine enough to look like a patient, coarse enough to be made in some six seconds on two cores.
_SPACING_MM, _IMAGE_PX = 2.0, 512
# A tone curve that shows both bone and skin; the bare detector is saturated.
_MACHINE = {"rays_per_side": 1, "photons": 5e5, "exposure": 3.0, "gamma": 0.5}
_FILES = ("Phantom CT", "PA", "Lateral", "Phantom bones")


def register() -> None:
    """Put the phantom on the page of the module Sample Data; call once, when Slicer has started."""
    import SampleData

    icons = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
    loaders = (loadOneView, loadTwoViews)
    for name, thumbnail, load in zip(NAMES, _THUMBNAILS, loaders, strict=True):
        # The address is empty because there is nothing to download; Slicer wants the fields to be of one length.
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            uris="",
            fileNames=CASE,
            nodeNames=name,
            thumbnailFileName=str(icons / thumbnail),
            customDownloader=load,
        )


def loadOneView(_source: Any = None) -> None:
    """Open the module and let it load the phantom with one X-ray; what its button in Sample Data does."""
    _load(lateral=False)


def loadTwoViews(_source: Any = None) -> None:
    """Load the phantom with two X-rays at right angles, as `loadOneView` does."""
    _load(lateral=True)


def sampleSteps(inputs: Inputs, parameters: Parameters, lateral: bool = False) -> Generator[Any, None, None]:
    """Generate the phantom, unless this computer has it already, and load it; each step brings a message.

    inputs: mrml.backend.Inputs. Fills `parameters` as importCaseSteps does, so that Register can be pressed at once.
    Raises MissingPackages.
    """
    dependencies.ensure()
    from .mrml import importing

    folder = cacheFolder(lateral)
    if not (folder / CASE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sizes = {"spacing_mm": _SPACING_MM, "image_px": _IMAGE_PX}
        yield from writeSteps(inputs.worker, folder, lateral=lateral, labelled=True, names=_FILES, **sizes, **_MACHINE)
    yield from importing.importCaseSteps(inputs, parameters, folder / CASE)


def writeSteps(worker: Worker, folder: Path, **choices: Any) -> Generator[str | None, None, None]:
    """Generate a phantom in a folder, with a message before each part that takes a second or two.

    choices: arguments of xrayreg.simulation.phantom_case.write_phantom_case.
    """
    for news in worker.askSteps("phantom", folder=str(folder), **choices):
        yield None if news is None else news["message"]


def cacheFolder(lateral: bool) -> Path:
    """Where a generated phantom is kept for the next time; another one after everything that it depends on."""
    from xrayreg import __version__

    made = zlib.crc32(repr((__version__, _SPACING_MM, _IMAGE_PX, _MACHINE, _FILES, lateral)).encode())
    return Path(slicer.app.temporaryPath) / "XRayRegistration" / f"phantom-{made:08x}"


def _load(lateral: bool) -> None:
    slicer.util.selectModule("XRayRegistration")
    slicer.util.getModuleWidget("XRayRegistration").panel.inputs.loadSample(lateral)
