"""What all sections of the panel do with their widgets."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError

from ..dependencies import MissingPackages
from ..mrml.rig import NodesRemoved, Rig
from ..parameters import Parameters
from ..timing import Timer
from ..worker.client import WorkerEnded

_UI_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "UI"

# What a user can mend; anything else is a fault of ours and goes to the log as well.
USER_ERRORS = (InputError, MissingPackages, NodesRemoved, ValueError, WorkerEnded)

_SWATCH_PX = 12
# Letters after which a line may end in the middle of a name, and the invisible character that says so.
_LONGEST_WORD, _SOFT_BREAK = 30, "\u200b"
# Readable on light and on dark panels.
ASSUMED_COLOR = "#c96a00"


def widgetsIn(container, fileName):
    """The widgets, by name, of a UI file that is put into `container`, a widget of the panel without a layout."""
    widget = slicer.util.loadUI(str(_UI_FOLDER / fileName))
    layout = qt.QVBoxLayout(container)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(widget)
    return slicer.util.childWidgetVariables(widget)


@dataclass(frozen=True)
class Situation:
    """What the panel shows, taken anew for each refresh so that nothing in it grows old.

    parameters: None while there is no scene. rig: None without an X-ray.
    running: what is being done, as the beginning of a sentence; empty when nothing is.
    """

    parameters: Parameters | None = None
    rig: Rig | None = None
    running: str = ""

    @property
    def itsParameters(self) -> Parameters:
        """The parameters, for what a user can do only while there are any."""
        assert self.parameters is not None
        return self.parameters

    @property
    def itsRig(self) -> Rig:
        """The rig, for what a user can do only while there is one."""
        assert self.rig is not None
        return self.rig

    @property
    def volume(self):
        return self.parameters.volume if self.parameters else None

    @property
    def views(self):
        return self.rig.views if self.rig else ()

    @property
    def view(self):
        """The view whose geometry is shown and to which the sliders belong, or None."""
        if not self.views or self.parameters is None:
            return None
        return self.views[min(max(self.parameters.activeView, 0), len(self.views) - 1)]

    def busy(self):
        """Why inputs and pose cannot be changed now; empty when they can."""
        if self.parameters is None:
            return _("The scene is being closed.")
        if self.running:
            return _("{work} is running; cancel it first.").format(work=self.running)
        return ""

    def incomplete(self):
        """What is missing before the C-arm can be placed; empty when nothing is."""
        return self.busy() or self.withoutCt() or ("" if self.views else _("Add an X-ray first."))

    def withoutCt(self):
        """Why there is no CT to work on; empty when there is one."""
        if self.volume is None:
            return _("Select a CT first.")
        if self.volume.GetImageData() is None or min(self.volume.GetImageData().GetDimensions()) < 2:
            return _("{name} is no CT: it has a single slice or none.").format(name=self.volume.GetName())
        return ""


class Control:
    """A widget whose tooltip says what it is for or, while it is disabled, why."""

    def __init__(self, widget):
        self.widget = widget
        self._purpose, self._holding, self._obstacle = widget.toolTip, "", ""

    def offer(self, obstacle=""):
        """Enable the widget unless there is an obstacle (a sentence)."""
        self._obstacle = obstacle
        self.widget.setEnabled(not obstacle)
        self.widget.setToolTip(obstacle or self._holding + self._purpose)

    def hold(self, text):
        """What the widget holds and may have no room for: the first line of its tooltip."""
        self._holding = f"{text}\n" if text else ""
        self.offer(self._obstacle)


class quiet:
    """While a section fills a widget, the widget tells nobody."""

    def __init__(self, *widgets):
        self._widgets = widgets

    def __enter__(self):
        self._before = [widget.blockSignals(True) for widget in self._widgets]

    def __exit__(self, *_error):
        for widget, before in zip(self._widgets, self._before, strict=True):
            widget.blockSignals(before)


def cell(text, tooltip="", color="", editable=False):
    """An item for a table."""
    item = qt.QTableWidgetItem(text)
    item.setToolTip(tooltip or text)
    flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
    item.setFlags(flags | qt.Qt.ItemIsEditable if editable else flags)
    if color:
        item.setForeground(qt.QBrush(qt.QColor(color)))
    return item


class Resized(qt.QObject):
    """Calls a function when a widget has got another width and its contents have followed; keep a reference."""

    def __init__(self, widget, call):
        qt.QObject.__init__(self)
        self._width = None
        self._timer = Timer(call)
        widget.installEventFilter(self)

    def close(self):
        """Call nothing any more."""
        self._timer.close()

    def eventFilter(self, watched, event):
        if event.type() == qt.QEvent.Resize and int(watched.width) != self._width:
            self._width = int(watched.width)
            self._timer.start()
        return False


def tell(label, text):
    """Show a line, or nothing."""
    say(label, text)
    label.setVisible(bool(text))


def say(label, text):
    """Show text in a label that wraps its lines; names too long for one are broken, without a hyphen."""
    label.setText(re.sub(rf"[^\s/]{{{_LONGEST_WORD}}}", lambda word: f"{word[0]}{_SOFT_BREAK}", text))


def swatch(red, green, blue):
    """A small patch of a colour, each part 0 to 1, as an icon."""
    patch = qt.QPixmap(_SWATCH_PX, _SWATCH_PX)
    patch.fill(qt.QColor.fromRgbF(red, green, blue))
    return qt.QIcon(patch)


def stretch(table, columns):
    """Let these columns share the table's width; the others are as wide as what they hold."""
    header = table.horizontalHeader()
    header.setMinimumSectionSize(24)
    for column in range(int(table.columnCount)):
        mode = qt.QHeaderView.Stretch if column in columns else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)


def fitHeight(table, most=24):
    """Make a table as high as its rows, but no higher than `most` of them."""
    table.resizeRowsToContents()
    rows = int(table.rowCount)
    header = table.horizontalHeader()
    height = 2 * int(table.frameWidth) + (int(header.property("sizeHint").height()) if not header.isHidden() else 0)
    height += sum(int(table.rowHeight(row)) for row in range(min(rows, most)))
    table.setFixedHeight(max(height, 1))


def fillViewSelector(selector, situation):
    """Let a combo box list the views and stand on the active one."""
    names = [view.name for view in situation.views]
    with quiet(selector):
        if [selector.itemText(n) for n in range(int(selector.count))] != names:
            selector.clear()
            selector.addItems(names)
        selector.setCurrentIndex(names.index(situation.view.name) if names else -1)


def sentence(error):
    """An error as a line for the panel; what is not the user's to mend goes to the log with all it knows."""
    if isinstance(error, USER_ERRORS):
        return str(error)
    logging.error("X-ray Registration", exc_info=error)
    return _("Something unforeseen happened ({kind}: {error}). The application log has the details.").format(
        kind=getattr(error, "kind", type(error).__name__), error=error
    )
