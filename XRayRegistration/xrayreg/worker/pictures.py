"""Requests for pictures of a patient at a pose: the live overlay, silhouettes of segments, images of a result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..geometry import Camera, Projection
from ..networks.inference.similarity_scene import needs_learned_maps
from ..overlay import (
    Anatomy,
    Lines,
    LiveDrr,
    matched_tones,
    pose_edges,
    pose_silhouettes,
    prepare_anatomy,
    prepare_labels,
    prepare_live,
    rendered,
    stroke,
)
from ..render import kernels_are_cached, warm_up
from ..scene import Volume
from .inputs import ShownXray
from .service import Content, OnNews, Room


def compiled(room: Room, content: Content, on_news: OnNews) -> Content:
    """Load the CPU engine's compiled code, compiling it first where it never was on this computer.

    content: similarity, the file of the learned similarity to be used, or None. News before it begins: cached, whether
    everything was compiled before. The answer is empty.
    """
    similarity = content["similarity"]
    learned_maps = similarity is not None and needs_learned_maps(similarity)
    on_news({"cached": kernels_are_cached(learned_maps=learned_maps)})
    warm_up(learned_maps=learned_maps, on_part=lambda part: on_news(None))
    return {}


def patient(room: Room, content: Content, on_news: OnNews) -> Content:
    """Keep a CT prepared for `picture` and `silhouettes`.

    content: volume; structures, labels of what is shown, none for everything. Answer: live and anatomy, the numbers of
    what either needs; labels, those that silhouettes can be drawn of.
    """
    volume = room.kept.value(content["volume"], Volume)
    structures = tuple(int(label) for label in content["structures"])
    live = prepare_live(volume, structures)
    labels = prepare_labels(volume)
    whole = Anatomy(live.whole, live.bone, labels, volume.label_names)
    return {"live": room.kept.keep(live), "anatomy": room.kept.keep(whole), "labels": sorted(labels)}


def picture(room: Room, content: Content, on_news: OnNews) -> Content:
    """DRR and edges of a patient at a pose.

    content: live; projection (Projection.as_dict); pose, camera_from_volume (4, 4) [mm]; drr and edges, whether
    each is wanted; matched, whether the DRR has the tones of the X-ray named by xray (whose bone is dark where
    dense_is_dark says so) instead of its own; longest_px and grid_px, longer sides of DRR and edges [pixels]; width_px,
    the width of edges in an image that is shown on shown_px pixels of the screen.
    Answer: grey (uint8, dense bright unless matched, 0 where the patient is not seen) and edges (uint8, how much of a
    pixel they cover, 0 to 255), names of arrays; None for what is not wanted.
    """
    live = replace(room.kept.value(content["live"], LiveDrr), longest_px=int(content["longest_px"]))
    camera, pose = Projection.from_dict(content["projection"]).camera(), np.array(content["pose"])
    grey: NDArray[np.uint8] | None = None
    lines: Lines | None = None
    if content["drr"] and content["matched"]:
        drr = live.image(camera, pose)
        seen = drr > 0
        xray = room.kept.value(content["xray"], ShownXray).picture
        matched = matched_tones(drr, _reduced(xray, drr.shape), seen, content["dense_is_dark"])
        grey = np.where(seen, np.rint(255 * matched).clip(1), 0).astype(np.uint8)
    elif content["drr"] and content["edges"]:
        grey, lines = live.grey_and_lines(camera, pose)
    elif content["drr"]:
        grey = live.grey(camera, pose)
    edges = None
    if content["edges"]:
        if lines is None:
            lines = live.lines(camera, pose)
        edges = _stroked(lines, camera, live, content)
    named = {"grey": grey, "edges": edges}
    return {name: None if image is None else room.arrays.put(image) for name, image in named.items()}


def silhouettes(room: Room, content: Content, on_news: OnNews) -> Content:
    """Silhouettes of labels at a pose.

    content: anatomy; projection; pose, camera_from_volume (4, 4) [mm]; labels; longest_px, of the picture, None for
    that of the X-ray. News for each label, in their order: label, and mask, the name of a bool array. The answer is
    empty.
    """
    anatomy = room.kept.value(content["anatomy"], Anatomy)
    camera = Projection.from_dict(content["projection"]).camera()
    if content["longest_px"] is not None:
        camera = camera.fitted(int(content["longest_px"]))
    pose = np.array(content["pose"])
    for label in content["labels"]:
        mask = _silhouette(anatomy, label, camera, pose)
        on_news({"label": label, "mask": room.arrays.put(mask)})
    return {}


def images(room: Room, content: Content, on_news: OnNews) -> Content:
    """X-ray, DRR and edges of one view of a result, in the X-ray's own pixels.

    content: anatomy; xray; pose, camera_from_volume (4, 4) [mm]; width_px, of the edges. News as each is begun: part,
    "drr" or "edges". Answer: names of the arrays xray (uint8), drr (float32 line integrals) and edges (bool).
    """
    anatomy = room.kept.value(content["anatomy"], Anatomy)
    shown, pose = room.kept.value(content["xray"], ShownXray), np.array(content["pose"])
    camera = shown.radiograph.camera
    on_news({"part": "drr"})
    drr = rendered(anatomy.whole, camera, pose)
    on_news({"part": "edges"})
    lines = pose_edges(anatomy, camera, pose)
    edges = stroke(lines, (camera.height, camera.width), float(content["width_px"])) >= 0.5
    return {"xray": room.arrays.put(shown.picture), "drr": room.arrays.put(drr), "edges": room.arrays.put(edges)}


def anatomy(room: Room, content: Content, on_news: OnNews) -> Content:
    """Keep a CT prepared for `images` and `silhouettes` in full resolution.

    content: volume; structures, labels of what is rendered, none for everything. Answer: anatomy, its number; labels,
    those that silhouettes can be drawn of.
    """
    volume = room.kept.value(content["volume"], Volume)
    structures = tuple(int(label) for label in content["structures"])
    made = prepare_anatomy(volume, structures)
    if structures:
        # Only the selected structures are rendered, but all visible segments are drawn.
        made = replace(made, labels=prepare_labels(volume))
    return {"anatomy": room.kept.keep(made), "labels": sorted(made.labels)}


def _silhouette(drawn: Anatomy, label: int, camera: Camera, pose: NDArray) -> NDArray[np.bool_]:
    part = replace(drawn, labels={label: drawn.labels[label]})
    found = pose_silhouettes(part, camera, pose)
    return found[label].inside()


def _stroked(lines: Lines, camera: Camera, live: LiveDrr, content: Content) -> NDArray[np.uint8]:
    """Coverage of each pixel of the edges' grid by the lines, 0 to 255."""
    own = live.camera(camera)
    factor = max(1, round(content["grid_px"] / live.longest_px))
    height, width = factor * own.height, factor * own.width
    # In a small view the picture is displayed at a lower resolution, where thinner lines would have gaps.
    width_px = content["width_px"] * max(1.0, max(height, width) / content["shown_px"])
    return np.rint(255 * stroke(lines.enlarged(factor), (height, width), width_px)).astype(np.uint8)


def _reduced(image: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An image on a smaller grid, each pixel the nearest one's, 0 to 1."""
    nearest = (
        np.floor((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(shape, image.shape, strict=True)
    )
    reduced: NDArray[np.float32] = image[np.ix_(*nearest)].astype(np.float32) / np.float32(255)
    return reduced
