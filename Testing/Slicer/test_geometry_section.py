"""The Geometry section: every number with its origin, corrected by typing."""

from __future__ import annotations

from dataclasses import replace

import panel_driver as user
import pytest

VALUE, ORIGIN = 1, 3


@pytest.fixture
def loaded(app, widget):
    """The panel with one X-ray of which only the size is known."""
    widget.ui.volumeSelector.setCurrentNode(user.add_ct())
    user.choose_xray(app, widget, user.add_xray())
    return widget


def row_of(widget, name):
    """Number of the table's row with this name."""
    table = widget.ui.geometryTable
    return [table.item(row, 0).text() for row in range(table.rowCount)].index(name)


def text_of(widget, name, column=VALUE):
    return widget.ui.geometryTable.item(row_of(widget, name), column).text()


def enter(app, widget, name, text):
    """Type a value into a row, as an editor of the cell does."""
    widget.ui.geometryTable.item(row_of(widget, name), VALUE).setText(text)
    user.settle(app)


def projection(widget):
    return widget.logic.rig().views[0].projection


def test_without_an_xray_there_is_no_table(widget):
    assert widget.ui.geometryTable.isHidden()
    assert widget.ui.geometryCollapsibleButton.collapsed
    assert not widget.ui.geometryViewSelector.enabled
    assert widget.ui.geometryViewSelector.toolTip == "Add an X-ray first."


def test_assumed_numbers_stand_out_and_unfold_the_section(app, loaded):
    from XRayRegistrationLib.panel.controls import ASSUMED_COLOR

    assert not loaded.ui.geometryCollapsibleButton.collapsed
    assert "Assumed: SID, pixel pitch." in loaded.ui.geometryMessageLabel.text
    for name, assumed in (("SID", True), ("Pixel pitch", True), ("Pixels", False)):
        color = loaded.ui.geometryTable.item(row_of(loaded, name), VALUE).foreground().color().name()
        assert (color == ASSUMED_COLOR) is assumed, name
        assert text_of(loaded, name, ORIGIN).startswith("assumed") is assumed


def test_a_folded_section_stays_folded(app, loaded):
    loaded.ui.geometryCollapsibleButton.setProperty("collapsed", True)
    loaded.panel.refresh()
    user.choose_xray(app, loaded, user.add_xray("Second"))
    # A new X-ray with assumed numbers is news again.
    assert not loaded.ui.geometryCollapsibleButton.collapsed
    loaded.ui.geometryCollapsibleButton.setProperty("collapsed", True)
    enter(app, loaded, "SID", "1100")
    assert loaded.ui.geometryCollapsibleButton.collapsed


@pytest.mark.parametrize(
    ("name", "typed", "shown", "value"),
    [
        ("SID", " 1050,5 mm", "1050.5", {"sid_mm": 1050.5}),
        ("Pixel pitch", "0.4", "0.4", {"pixel_mm": (0.4, 0.4)}),
        ("Image size", "320 x 240", "320 x 240", {"pixel_mm": (5.0, 5.0)}),
        ("Central ray", "30 x 20.5", "30 x 20.5", {"principal_px": (30.0, 20.5)}),
        ("Primary angle", "rao 30", "RAO 30", {"primary_deg": -30.0}),
        ("SOD", "700", "700", {"sod_mm": 700.0}),
    ],
)
def test_a_typed_value_counts_and_is_entered_by_hand(app, loaded, name, typed, shown, value):
    before = projection(loaded)
    enter(app, loaded, name, typed)
    after = projection(loaded)
    assert {field: getattr(after, field) for field in value} == value
    assert replace(after, **{f: getattr(before, f) for f in value}, origins={}) == replace(before, origins={})
    assert text_of(loaded, name) == shown
    assert text_of(loaded, name, ORIGIN) == "entered by hand"


@pytest.mark.parametrize(("typed", "said"), [("far", "expected a number"), ("-4", "found -4"), ("", "found nothing")])
def test_nonsense_is_refused_in_a_line_and_the_old_value_stays(app, loaded, typed, said):
    before = projection(loaded)
    enter(app, loaded, "SID", typed)
    assert projection(loaded) == before
    assert text_of(loaded, "SID") == "1000"
    assert said in loaded.ui.geometryMessageLabel.text
    enter(app, loaded, "SID", "1100")
    assert said not in loaded.ui.geometryMessageLabel.text


def test_measured_numbers_are_not_assumed_any_more(app, loaded):
    enter(app, loaded, "SID", "1020")
    enter(app, loaded, "Pixel pitch", "0.4")
    assert projection(loaded).assumptions == ()
    assert "Assumed" not in loaded.ui.geometryMessageLabel.text
    assert loaded.ui.viewsTable.item(0, 2).text() == "SID 1020 · 0.4 mm"


def test_assumed_numbers_that_are_right_can_be_confirmed(app, loaded):
    before = projection(loaded)
    assert not loaded.ui.confirmButton.isHidden()
    loaded.ui.confirmButton.click()
    user.settle(app)
    assert projection(loaded).assumptions == ()
    assert projection(loaded).camera().matrix == pytest.approx(before.camera().matrix, rel=1e-5)
    assert text_of(loaded, "SID", ORIGIN) == "entered by hand"
    assert loaded.ui.confirmButton.isHidden()


def test_what_can_only_be_chosen_is_a_list(app, loaded):
    table = loaded.ui.geometryTable
    mirrored = table.cellWidget(row_of(loaded, "Mirrored"), VALUE)
    assert not projection(loaded).mirrored
    mirrored.setCurrentIndex(1)
    user.settle(app)
    assert projection(loaded).mirrored
    table.cellWidget(row_of(loaded, "Turned"), VALUE).setCurrentIndex(1)
    user.settle(app)
    assert projection(loaded).quarter_turns == 1
    assert projection(loaded).size == (48, 64)
    # The widget in the cell is still the one that the user has in hand.
    assert table.cellWidget(row_of(loaded, "Mirrored"), VALUE) is mirrored
    assert mirrored.currentIndex == 1


def test_two_xrays_keep_their_own_geometry(app, loaded):
    user.choose_xray(app, loaded, user.add_xray("Second", size=(100, 80)))
    enter(app, loaded, "SID", "1200")
    assert [view.projection.sid_mm for view in loaded.logic.rig().views] == [1000.0, 1200.0]
    loaded.ui.geometryViewSelector.setCurrentIndex(0)
    user.settle(app)
    assert text_of(loaded, "SID") == "1000"
    assert text_of(loaded, "Pixels") == "64 x 48"


def test_a_changed_sid_makes_the_verdict_out_of_date(app, widget, case):
    user.import_case(app, widget, case)
    user.register(app, widget)
    assert widget.ui.verdictTitleLabel.text in ("<b>Accepted</b>", "<b>Not trusted</b>")
    enter(app, widget, "SID", "1100")
    assert widget.ui.verdictTitleLabel.text == "<b>Out of date</b>"
    assert "geometry" in widget.ui.verdictLabel.text


def test_no_cell_is_cut_off_at_the_width_of_a_narrow_panel(app, loaded):
    loaded.parent.resize(400, 1600)
    user.settle(app)
    table = loaded.ui.geometryTable
    for row in range(table.rowCount):
        for column in (VALUE, ORIGIN):
            item = table.item(row, column)
            metrics = table.fontMetrics()
            longest = max((metrics.horizontalAdvance(word) for word in item.text().split()), default=0)
            assert longest < table.columnWidth(column), item.text()
    assert table.height >= sum(table.rowHeight(row) for row in range(table.rowCount))
