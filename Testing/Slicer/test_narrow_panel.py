"""The panel in a narrow window: long names, hidden lines and screens of high density."""

from __future__ import annotations

from typing import Any

import panel_driver as user
import pytest

# Slicer's panel is about as wide when it starts.
WIDEST_PX = 420
LONG = "Thorax_" + "x" * 300


def width_of(app: Any, widget: Any) -> int:
    app.processEvents()
    return int(widget.parent.layout().minimumSize().width())


def show_long_names(app: Any, widget: Any) -> None:
    widget.panel.results.ui.folderButton.setProperty("directory", "/" + LONG)
    widget.ui.volumeSelector.setCurrentNode(user.add_ct(LONG))
    user.choose_xray(app, widget, user.add_xray(LONG))
    widget.ui.segmentationSelector.setCurrentNode(user.add_segmentation(3, LONG))
    user.settle(app)


def test_long_names_and_folders_do_not_widen_the_panel(app, widget, screenshot):
    before = width_of(app, widget)
    show_long_names(app, widget)
    for section in ("inputs", "pose", "register", "review", "results"):
        owner = getattr(widget.panel, section)
        (getattr(owner, "say", None) or owner._say)(f"Saved as /{LONG}")
    widget.panel.train.chooseModel(f"/{LONG}/{LONG}.pt")
    # No disk takes a longer name.
    widget.panel.register.similarity.choose(f"/{LONG[:200]}/{LONG[:200]}.pt")
    assert widget.panel.register.similarity.ui.similarityCardLabel.text.startswith("There is no file ")
    widget.panel.train._said = LONG
    widget.panel.train._show()
    assert width_of(app, widget) <= WIDEST_PX
    assert before <= WIDEST_PX
    for button in ("inputsCollapsibleButton", "trainCollapsibleButton", "resultsCollapsibleButton"):
        if hasattr(widget.ui, button):
            getattr(widget.ui, button).setProperty("collapsed", button.startswith("inputs"))
    screenshot("long_names.png", lambda path: app.picture(widget, path))
    screenshot("long_names_below.png", lambda path: app.picture(widget, path, scroll_px=2000))


def test_a_long_folder_is_in_the_tooltip_where_it_can_be_used(app, widget):
    button = widget.panel.results.ui.folderButton
    button.setProperty("directory", f"/{LONG}")
    # While it cannot be used, the tooltip says why.
    assert button.toolTip == "Select a CT first."
    show_long_names(app, widget)
    assert button.toolTip.splitlines() == [f"/{LONG}", "The folder in which a folder of this result is made."]
    button.setProperty("directory", "/elsewhere")
    assert button.toolTip.splitlines()[0] == "/elsewhere"


def test_a_path_can_be_copied_as_it_is(app, widget):
    widget.panel.results._say(f"Saved as /{LONG}")
    label = widget.panel.results.ui.resultsMessageLabel
    assert label.text == label.toolTip == f"Saved as /{LONG}"


@pytest.mark.parametrize("state", ["empty", "loaded", "with structures"])
def test_no_row_of_a_form_is_ever_hidden(app, widget, state):
    """Qt 5 keeps the space above and below a hidden row of a form, but nothing of a hidden widget in a column."""
    import qt

    if state != "empty":
        widget.ui.volumeSelector.setCurrentNode(user.add_ct())
        user.choose_xray(app, widget, user.add_xray())
    if state == "with structures":
        widget.ui.segmentationSelector.setCurrentNode(user.add_segmentation(3))
    user.settle(app)
    for each in user.children(widget):
        if each.className() == "ctkCollapsibleButton":
            # What is folded away is hidden too.
            each.setProperty("collapsed", False)
    forms = list(widget.parent.findChildren(qt.QFormLayout))
    assert len(forms) >= 9
    items = [(form.objectName, form.itemAt(n).widget()) for form in forms for n in range(int(form.count()))]
    assert len(items) > 40
    assert [(form, item.objectName) for form, item in items if item is not None and item.isHidden()] == []


@pytest.mark.parametrize("density", [1.0, 1.5, 2.0])
def test_curves_have_all_pixels_of_the_screen(app, density):
    import qt

    from XRayRegistrationLib.panel.curve import Chart

    drawn_into: list[Any] = []

    class Dense(qt.QLabel):
        def devicePixelRatioF(self) -> float:
            return density

        def setPixmap(self, picture: Any) -> None:
            drawn_into.append(picture)

    label = Dense()
    label.resize(200, 80)
    chart = Chart(label, "Similarity", "{:.2f}".format)
    chart.show([("#2f8fd0", [(0, 0.0), (1, 1.0)])])
    picture = drawn_into[-1]
    assert (picture.width(), picture.height()) == (round(200 * density), round(80 * density))
    # As large on the screen as on any other.
    assert picture.deviceIndependentSize().width() == pytest.approx(200, abs=0.5)
    drawn = picture.toImage()
    line = [
        drawn.pixelColor(x, y)
        for x in range(round(100 * density), drawn.width())
        for y in range(drawn.height())
        if drawn.pixelColor(x, y).name() == "#2f8fd0"
    ]
    assert line, "the line's right end is not in the picture"
    chart.close()
