"""The kinds of request that a worker knows.

In haste is the picture that follows a slider; long is what has news to show while it runs, so that the user can go on
working meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import cases, files, inputs, pictures, registering
from .service import Handler, Haste

HANDLERS: Mapping[str, Handler] = {
    "case": Handler(cases.case),
    "geometry": Handler(cases.geometry),
    "calibration": Handler(cases.calibration),
    "phantom": Handler(cases.phantom, Haste.LONG),
    "volume": Handler(inputs.volume),
    "labels": Handler(inputs.labels),
    "radiograph": Handler(inputs.radiograph),
    "camera": Handler(inputs.camera),
    "fingerprint": Handler(inputs.mark),
    "card": Handler(inputs.card),
    "compile": Handler(pictures.compiled, Haste.LONG),
    "patient": Handler(pictures.patient),
    "picture": Handler(pictures.picture, Haste.HAND),
    "silhouettes": Handler(pictures.silhouettes),
    "anatomy": Handler(pictures.anatomy),
    "images": Handler(pictures.images),
    "register": Handler(registering.register, Haste.LONG),
    "estimate": Handler(registering.estimate),
    "landmarks": Handler(registering.landmarks),
    "report": Handler(files.report, Haste.LONG),
    "training files": Handler(files.training_files),
}
