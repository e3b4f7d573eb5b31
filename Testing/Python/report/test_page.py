"""The report is one safe, self-contained page."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from html_pages import page_of
from PIL import Image

from xrayreg.checks import InputError
from xrayreg.report import write_report

RESULT = {
    "world_from_volume": np.eye(4).tolist(),
    "views": [{"camera_from_volume": np.eye(4).tolist(), "similarity": 0.87654}],
    "accepted": True,
    "reason": "Two starts met & the rest is < 5 % as likely.",
    "quality": {"agreement_mm": 0.25, "checked": True},
    "uncertainty": {"depth_mm": 1.5, "per axis": {"x_mm": 0.1}},
    "score": {"mtre_mm": 0.4213, "rotation_deg": 0.0, "translation_mm": [0.1, -0.2, 3.0], "mpd_mm": None},
    "seconds": {"total": 3.25},
    "renders": 812,
    "engine": "numba",
    "version": "1.0",
}


@pytest.fixture
def picture(tmp_path):
    """A picture larger than is embedded, with a thin coloured line down its middle."""
    pixels = np.full((40, 3000, 3), 90, dtype=np.uint8)
    pixels[:, 1496:1504] = (255, 140, 0)
    Image.fromarray(pixels).save(tmp_path / "overlay.png")
    return "overlay.png"


def test_the_page_tells_verdict_numbers_and_pose(tmp_path, picture):
    path = write_report(tmp_path, "Knee", RESULT, [("Front view", picture)])
    assert path == tmp_path / "report.html"
    page = page_of(path)
    assert not page.open
    assert "Accepted" in page.text and "Rejected" not in page.text
    assert RESULT["reason"] in page.text
    for told in ("0.4213\N{NO-BREAK SPACE}mm", "mTRE", "0.8765", "0.1, -0.2, 3", "812", "numba", "3.25", "Front view"):
        assert told in page.text, told
    assert "0\N{NO-BREAK SPACE}°" in page.text  # a zero is told, not left out
    assert "unknown" in page.text  # mPD has no value
    assert "1.5\N{NO-BREAK SPACE}mm" in page.text and "Per axis x" in page.text


def test_nothing_is_loaded_from_elsewhere(tmp_path, picture):
    path = write_report(tmp_path, "Knee", RESULT, [("", picture)])
    text, page = path.read_text(encoding="utf-8"), page_of(path)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all((value or "").startswith("data:") for name, value in page.attributes if name in ("src", "href"))


def test_text_from_outside_stays_text(tmp_path, picture):
    nasty = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"
    result = {
        **RESULT,
        "reason": nasty,
        "engine": nasty,
        "quality": {nasty: nasty},
        "views": [{"name": nasty, "similarity": nasty}],
        "uncertainty": {"note": [nasty]},
    }
    plain = page_of(write_report(tmp_path, "title", RESULT, [("caption", picture)]))
    page = page_of(write_report(tmp_path, nasty, result, [(nasty, picture)]))
    assert "script" not in page.tags
    assert page.tags.count("img") == plain.tags.count("img") == 1
    assert {name for name, _ in page.attributes} == {name for name, _ in plain.attributes}
    assert page.text.count("alert('x')") >= 6
    assert nasty in page.text and ("alt", nasty) in page.attributes


def test_pictures_are_embedded_at_a_moderate_size_with_their_colours(tmp_path, picture):
    page = page_of(write_report(tmp_path, "Knee", RESULT, [("a", picture), ("b", picture)]))
    sources = [value for name, value in page.attributes if name == "src"]
    assert len(sources) == 2
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(sources[0].split(",")[1]))).convert("RGB")).astype(int)
    assert shown.shape == (24, 1800, 3)
    # JPEG at this quality errs by a few grey levels; a line four pixels wide keeps its colour in its middle.
    assert np.abs(shown[12, 900] - [255, 140, 0]).max() < 25
    assert np.abs(shown[12, 100] - 90).max() < 6


def test_a_rejected_and_an_unjudged_result_are_told_apart(tmp_path):
    rejected = page_of(write_report(tmp_path, "a", {"accepted": False, "reason": "Too far."}, [])).text
    assert "Rejected" in rejected and "Accepted" not in rejected
    unjudged = page_of(write_report(tmp_path, "a", {}, [])).text
    assert "Not judged" in unjudged and "Rejected" not in unjudged and "Accepted" not in unjudged


def test_the_similarity_of_a_single_view_is_shown_once_and_what_is_withheld_not_at_all(tmp_path):
    quality = {"similarity": 0.4321, "expected_error_mm": None}
    views = [{"name": "front", "similarity": 0.4321}, {"name": "side", "similarity": 0.1234}]
    result = {"accepted": False, "reason": "No.", "quality": quality, "uncertainty": {"target_mm": None}}
    single = page_of(write_report(tmp_path, "a", {**result, "views": views[:1]}, [])).text
    assert single.count("0.4321") == 1 and "per view" not in single
    assert "Expected error" not in single and "Uncertainty" not in single and "unknown" not in single
    several = page_of(write_report(tmp_path, "a", {**result, "views": views}, [])).text
    assert "Similarity per view" in several and "0.1234" in several


@pytest.mark.parametrize("content", [None, b"not a picture"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "gone.png").write_bytes(content)
    with pytest.raises(InputError, match=r"gone\.png"):
        write_report(tmp_path, "a", RESULT, [("", "gone.png")])
    assert not (tmp_path / "report.html").exists()
