"""The kinds of request that a worker knows."""

from __future__ import annotations

from collections.abc import Mapping

from . import cases, files, inputs, pictures, registering
from .service import Handler

HANDLERS: Mapping[str, Handler] = {
    "case": Handler(cases.case),
    "geometry": Handler(cases.geometry),
    "calibration": Handler(cases.calibration),
    "phantom": Handler(cases.phantom),
    "volume": Handler(inputs.volume),
    "labels": Handler(inputs.labels),
    "radiograph": Handler(inputs.radiograph),
    "camera": Handler(inputs.camera),
    "fingerprint": Handler(inputs.mark),
    "card": Handler(inputs.card),
    "compile": Handler(pictures.compiled),
    "patient": Handler(pictures.patient),
    "picture": Handler(pictures.picture, urgent=True),
    "silhouettes": Handler(pictures.silhouettes),
    "anatomy": Handler(pictures.anatomy),
    "images": Handler(pictures.images),
    "register": Handler(registering.register),
    "estimate": Handler(registering.estimate),
    "landmarks": Handler(registering.landmarks),
    "report": Handler(files.report),
    "training files": Handler(files.training_files),
}
