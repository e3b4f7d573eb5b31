"""The Inputs section: the CT, the X-rays, the structures to register, and cases to import."""

from __future__ import annotations

import functools

import qt
import slicer
from slicer.i18n import tr as _

from ..display import layout
from ..mrml import sources
from ..timing import Timer
from .controls import ASSUMED_COLOR, Control, Situation, cell, fitHeight, quiet, stretch, swatch, tell
from .dialogs import FileDialogs
from .packages import PackagesPart

_SHOWN, _NAME, _GEOMETRY, _REMOVE = range(4)
# Longer lists of structures scroll.
_MOST_STRUCTURES_SHOWN = 6


class InputsSection:
    """Connects the widgets of the section with the panel."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = panel.ui
        self._now = Situation()
        self._shownViews = self._shownStructures = None
        self._removeButtons = []
        self._said = ""
        self._dialogs = FileDialogs()
        self.packages = PackagesPart(panel)
        self._volume, self._xray, self._segmentation = (
            Control(ui.volumeSelector), Control(ui.xraySelector), Control(ui.segmentationSelector)
        )  # fmt: skip
        self._structures = Control(ui.structuresList)
        self._importCase, self._importCalibration, self._sample = (
            Control(ui.importCaseButton), Control(ui.importCalibrationButton), Control(ui.sampleButton)
        )  # fmt: skip
        stretch(ui.viewsTable, (_NAME, _GEOMETRY))
        ui.xraySelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onXrayChosen)
        ui.viewsTable.connect("cellChanged(int,int)", self.onViewTicked)
        ui.viewsTable.connect("currentCellChanged(int,int,int,int)", self.onViewSelected)
        ui.structuresList.connect("itemChanged(QListWidgetItem*)", self.onStructureTicked)
        ui.importCaseButton.connect("clicked(bool)", self.onImportCase)
        ui.importCalibrationButton.connect("clicked(bool)", self.onImportCalibration)
        ui.sampleButton.connect("clicked(bool)", self.onSample)
        self._promptTimer = Timer(self.showPrompt)

    def close(self):
        self._dialogs.close()
        self._promptTimer.close()

    def clear(self):
        self._dialogs.close()
        self._said = ""
        self._shownViews = self._shownStructures = None

    def say(self, text):
        self._said = text
        # Where there is nothing else to say: why an X-ray stays black or has no DRR. While the overlay is prepared it
        # says what it is doing, which would come and go here.
        live = self._panel.live
        tell(self.ui.inputsMessageLabel, text or (live.obstacle if live.settled else ""))

    def refresh(self, now):
        """Show the inputs of a situation."""
        self._now = now
        for control in (self._volume, self._xray, self._segmentation, self._structures, self._importCase, self._sample):
            control.offer(now.busy())
        self._importCalibration.offer(now.busy() or ("" if now.view else _("Add the X-ray that it belongs to first.")))
        self.ui.sampleButton.setVisible(_nothingIsLoaded())
        self.packages.refresh(now)
        self._refreshViews()
        self._refreshStructures()
        self.say(self._said)

    def _refreshViews(self):
        table, views = self.ui.viewsTable, self._now.views
        content = [(view.picture.GetID(), view.shown, view.name, *_inShort(view)) for view in views]
        content.append(self._now.busy())
        table.setVisible(bool(views))
        with quiet(table):
            if content != self._shownViews:
                self._shownViews = content
                table.setRowCount(len(views))
                # Qt deletes the widgets of rows that go.
                self._removeButtons = self._removeButtons[: len(views)]
                for row, view in enumerate(views):
                    self._fillViewRow(row, view)
                fitHeight(table)
            row = views.index(self._now.view) if views else -1
            table.setCurrentCell(row, _NAME)

    def _fillViewRow(self, row, view):
        table = self.ui.viewsTable
        short, doubtful, told = _inShort(view)
        shown = cell("", _("Show this X-ray in the layout."))
        shown.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
        shown.setCheckState(qt.Qt.Checked if view.shown else qt.Qt.Unchecked)
        table.setItem(row, _SHOWN, shown)
        name = cell(view.name)
        name.setIcon(swatch(*layout.color(row)))
        table.setItem(row, _NAME, name)
        table.setItem(row, _GEOMETRY, cell(short, told, ASSUMED_COLOR if doubtful else ""))
        if row == len(self._removeButtons):
            remove = qt.QToolButton()
            remove.setText("✕")
            remove.setAutoRaise(True)
            remove.setToolTip(_("Remove this X-ray from the list; the image stays in the scene."))
            remove.connect("clicked(bool)", functools.partial(self._removeView, row))
            table.setCellWidget(row, _REMOVE, remove)
            self._removeButtons.append(Control(remove))
        self._removeButtons[row].offer(self._now.busy())

    def _refreshStructures(self):
        ui, segmentation = self.ui, self._now.parameters.segmentation if self._now.parameters else None
        structures = _structures(segmentation) if segmentation else []
        chosen = list(self._now.parameters.structures) if self._now.parameters else []
        ui.structuresContainer.setVisible(bool(structures))
        content = [*structures, chosen]
        if content != self._shownStructures:
            self._shownStructures = content
            with quiet(ui.structuresList):
                _fillStructures(ui.structuresList, structures, chosen)
            ticked = sum(identifier in chosen for identifier, _name, _color in structures)
            ui.structuresMeaningLabel.setText(_meaning(ticked, len(structures)))

    def onXrayChosen(self, node):
        if node is None:
            return
        # The selector is busy with its own change now.
        self._promptTimer.start()
        if self._now.busy():
            return
        self._panel.run(_("Adding an X-ray"), self._panel.logic.addXraySteps(node), self._onStep, self._onXrayAdded)

    def _onXrayAdded(self, problem):
        views = self._panel.now.views
        self.say(problem or _("{name} was added.").format(name=views[-1].name))
        if not problem:
            self._panel.showXrays()

    def showPrompt(self):
        self.ui.xraySelector.setCurrentNode(None)

    def onViewTicked(self, row, column):
        if column == _SHOWN and row < len(self._now.views):
            ticked = self.ui.viewsTable.item(row, column).checkState() == qt.Qt.Checked
            self._now.views[row].setShown(ticked)
            self._panel.refresh()

    def onViewSelected(self, row, _column, _previousRow, _previousColumn):
        if self._now.parameters and 0 <= row < len(self._now.views):
            self._now.parameters.activeView = int(row)

    def _removeView(self, row, *_checked):
        name = self._now.views[row].name
        self._panel.logic.removeXray(self._now.views[row])
        self.say(_("{name} was removed from the list.").format(name=name))
        self._panel.refresh()

    def onStructureTicked(self, _item):
        items = [self.ui.structuresList.item(n) for n in range(int(self.ui.structuresList.count))]
        ticked = [str(item.data(qt.Qt.UserRole)) for item in items if item.checkState() == qt.Qt.Checked]
        if self._now.parameters:
            self._now.parameters.structures = ticked

    def onImportCase(self):
        self._dialogs.open(_("Import a case"), [_("Case (*.json)")], self.importCase)

    def onImportCalibration(self):
        filters = [_("Calibration (*.txt *.csv *.json)"), _("All files (*)")]
        self._dialogs.open(_("Import a calibration"), filters, self.importCalibration)

    def importCase(self, path):
        """Load a case.json and all that it names."""
        self._load(_("An import"), self._panel.logic.importCaseSteps(str(path)))

    def importCalibration(self, path):
        """Give the active X-ray the geometry of a calibration file."""
        name = self._now.view.name if self._now.view else ""
        done = _("{name} has the geometry of {path} now.").format(name=name, path=path)
        steps = self._panel.logic.importCalibrationSteps(str(path))
        self._panel.run(_("An import"), steps, self._onStep, lambda problem: self.say(problem or done))

    def onSample(self):
        self.loadSample(lateral=False)

    def loadSample(self, lateral):
        """Make the phantom with one X-ray, or with a lateral one as well, and load it."""
        self._load(_("Making the phantom"), self._panel.logic.sampleSteps(lateral))

    def _load(self, work, steps):
        busy = self._panel.now.busy()
        if busy:
            self.say(busy)
        else:
            self._panel.run(work, steps, self._onStep, self._onImported)

    def _onStep(self, message):
        if message:
            self.say(message)

    def _onImported(self, problem):
        volume = self._panel.now.volume
        told = [] if problem or volume is None else [text for each in sources.readOf(volume) for text in each]
        self.say(problem or " ".join(told))
        if not problem:
            self._panel.showXrays()


def _nothingIsLoaded():
    names = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode")
    nodes = [node for name in names for node in slicer.util.getNodesByClass(name)]
    return all(node.GetHideFromEditors() for node in nodes)


def _inShort(view):
    """What is known of a view's geometry: a few words, whether they give cause for doubt, and a tooltip."""
    if view.source is None:
        return (
            _("image removed"),
            True,
            _("The X-ray image was removed from the scene; nothing can be compared with it."),
        )
    projection = view.projection
    assumed = projection.assumptions
    if assumed:
        names = ", ".join(assumed)
        told = _("Nobody measured {names}; see the section Geometry.").format(names=names)
        return _("assumed: {names}").format(names=names), True, told
    sid, pitch = projection.sid_mm, projection.pixel_mm[0]
    told = _("SID {sid:.1f} mm ({origin}), pixel pitch {pitch:.4g} mm; see the section Geometry.").format(
        sid=sid, pitch=pitch, origin=projection.origins.get("SID", "")
    )
    return _("SID {sid:.0f} · {pitch:.3g} mm").format(sid=sid, pitch=pitch), False, told


def _structures(segmentationNode):
    """The segments: identifier, name and colour (red, green, blue) each."""
    segmentation = segmentationNode.GetSegmentation()
    segments = [(identifier, segmentation.GetSegment(identifier)) for identifier in segmentation.GetSegmentIDs()]
    return [(identifier, segment.GetName(), tuple(segment.GetColor())) for identifier, segment in segments]


def _fillStructures(widget, structures, chosen):
    widget.clear()
    for identifier, name, color in structures:
        item = qt.QListWidgetItem(name)
        item.setIcon(swatch(*color))
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
        item.setCheckState(qt.Qt.Checked if identifier in chosen else qt.Qt.Unchecked)
        item.setData(qt.Qt.UserRole, identifier)
        widget.addItem(item)
    rows = min(len(structures), _MOST_STRUCTURES_SHOWN)
    if rows:
        widget.setFixedHeight(2 * int(widget.frameWidth) + rows * int(widget.sizeHintForRow(0)))


def _meaning(ticked, count):
    if not ticked:
        return _("None is ticked: the whole CT is compared with the X-ray.")
    return _("Only {ticked} of {count} are compared with the X-ray.").format(ticked=ticked, count=count)
