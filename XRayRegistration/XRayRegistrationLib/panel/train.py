"""The Train section: a network for this patient, trained in a process of its own that outlives panel and scene."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from xrayreg.checks import InputError
from xrayreg.settings import DEVICES, DISTRIBUTIONS

from .. import networks
from ..jobs import training
from ..jobs.runFolder import Moment, Run
from ..timing import Timer
from .controls import Control, Situation, quiet, say, tell, widgetsIn
from .curve import ErrorCurve
from .dialogs import FileDialogs

# Between two looks at a training [ms]; it tells about once a second.
_EVERY_MS = 500


class TrainSection:
    """Connects the widgets of the section, which it brings along, with the panel."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = ui = widgetsIn(panel.ui.trainContainer, "XRayRegistrationTrain.ui")
        self._now = Situation()
        self._dialogs = FileDialogs()
        self._title = str(panel.ui.trainCollapsibleButton.text)
        self._run: Run | None = None
        self._moment: Moment | None = None
        # The curve's state when it was drawn last.
        self._drawn: tuple[Any, ...] | None = None
        # What is said besides the training's own words, and whether its CT is being written now.
        self._said, self._writing = "", False
        self._curve = ErrorCurve(ui.trainCurveLabel)
        self._kind, self._views, self._minutes, self._device, self._model, self._browse = (
            Control(ui.kindSelector), Control(ui.anatomySelector), Control(ui.minutesSpinBox),
            Control(ui.trainDeviceSelector), Control(ui.modelLineEdit), Control(ui.modelBrowseButton),
        )  # fmt: skip
        self._train, self._cancel, self._resume = (
            Control(ui.trainButton), Control(ui.trainCancelButton), Control(ui.trainResumeButton)
        )  # fmt: skip
        _fill(ui.kindSelector, _namedKinds())
        _fill(ui.anatomySelector, _namedViews())
        _fill(ui.trainDeviceSelector, [(name, _namedDevice(name)) for name in DEVICES])
        ui.kindSelector.connect("currentIndexChanged(int)", self.onKind)
        ui.anatomySelector.connect("currentIndexChanged(int)", self.onViews)
        ui.minutesSpinBox.connect("valueChanged(int)", self.onMinutes)
        ui.trainDeviceSelector.connect("currentIndexChanged(int)", self.onDevice)
        ui.modelLineEdit.connect("editingFinished()", self.onModel)
        ui.modelBrowseButton.connect("clicked(bool)", self.onBrowse)
        ui.trainButton.connect("clicked(bool)", self.onTrain)
        ui.trainCancelButton.connect("clicked(bool)", self.onCancel)
        ui.trainResumeButton.connect("clicked(bool)", self.onResume)
        self._timer = Timer(self.look, _EVERY_MS, once=False)

    @property
    def run(self):
        """The training that is shown (jobs.runFolder.Run), or None."""
        return self._run

    @property
    def running(self):
        """Whether the training that is shown is going on."""
        return self._moment is not None and self._moment.running

    @property
    def ended(self):
        """Whether the training that is shown has ended."""
        return self._moment is not None and not self._moment.running

    def clear(self):
        """The scene is gone; a training goes on."""
        self._dialogs.close()
        self._said, self._writing = "", False

    def close(self):
        """The module is unloaded; a training goes on, and is found again."""
        self._dialogs.close()
        self._timer.close()
        self._curve.close()

    def refresh(self, now):
        """Show what a network can be trained on, and how its training stands."""
        self._now = now
        parameters = now.parameters
        if parameters is not None:
            self._showChoices(parameters)
        self._adopt()
        self._offer()
        self._show()

    def look(self):
        """Slot of the timer: see how the training stands."""
        if self._run is None:
            self._timer.stop()
            return
        self._run.insist()
        wasRunning = self.running
        self._moment = self._run.moment()
        if wasRunning and self.ended:
            self._finish(self._run)
        self._offer()
        self._show()

    def onKind(self, index):
        if self._now.parameters is not None:
            self._said = ""
            self._now.parameters.trainSimilarity = str(self.ui.kindSelector.itemData(index))

    def onViews(self, index):
        if self._now.parameters is not None:
            self._now.parameters.trainViews = str(self.ui.anatomySelector.itemData(index))

    def onMinutes(self, minutes):
        if self._now.parameters is not None:
            self._now.parameters.trainMinutes = int(minutes)

    def onDevice(self, index):
        if self._now.parameters is not None:
            self._now.parameters.trainDevice = str(self.ui.trainDeviceSelector.itemData(index))

    def onModel(self):
        if self._now.parameters is not None:
            self.chooseModel(str(self.ui.modelLineEdit.text))

    def onBrowse(self):
        filters = [_("Network (*{suffix})").format(suffix=training.SUFFIX)]
        suggested = training.modelOf(self._now.itsParameters)
        # Resuming, too, begins with choosing a file that is there.
        self._dialogs.save(_("Save the network as"), filters, self.chooseModel, suggested, overwriting=False)

    def chooseModel(self, path):
        """Keep the network in this file; empty for the suggested one."""
        parameters = self._now.parameters
        if parameters is None:
            return
        volume, similarity = parameters.volume, parameters.trainSimilarity
        suggested = "" if volume is None else str(training.suggestedModel(volume, similarity))
        try:
            training.keepAs(parameters, "" if str(path).strip() == suggested else str(path))
            self._said = ""
        except InputError as error:
            self._said = str(error)
        self._panel.refresh()

    def onTrain(self):
        self._start(resume=False)

    def onResume(self):
        self._start(resume=True)

    def onCancel(self):
        if self._writing:
            self._panel.cancel()
        elif self._run is not None:
            self._run.stop()
            self.look()

    def _start(self, resume):
        self._said, self._writing = _("Starting"), True
        steps = self._panel.logic.trainingSteps(resume)
        self._panel.run(_("Preparing the training"), steps, self._onStep, self._onStarted)

    def _onStep(self, step):
        self._said = step[1]
        self._show()

    def _onStarted(self, problem):
        self._writing, self._said = False, problem
        self._run = None

    def _adopt(self):
        """Follow the training that runs, else the one of the network that is named."""
        running = training.running()
        model = None if self._now.parameters is None else training.modelOf(self._now.parameters)
        wanted = running or (training.runOf(model) if model is not None else None)
        if wanted is None or not wanted.exists():
            if self._now.parameters is not None:
                self._run = self._moment = None
        elif self._run is not wanted:
            self._run, self._moment, self._drawn = wanted, wanted.moment(), None
            if self.ended:
                # It ended while it was not observed.
                self._finish(wanted)
        if self.running:
            self._timer.start()

    def _finish(self, run):
        """A training has ended: add its network to the known ones, and remove its copy of the CT."""
        self._timer.stop()
        run.clean()
        if run.hasNetwork():
            networks.remember(run.model)
            parameters = self._now.parameters
            if parameters is None or run.model != training.modelOf(parameters):
                return
            # The lists of networks come to know it.
            self._panel.refreshSoon()
            # A similarity changes what Register does: that is for the user to choose.
            if not parameters.network and not parameters.trainSimilarity:
                parameters.network = str(run.model)

    def _showChoices(self, parameters):
        ui = self.ui
        say(ui.trainStructuresLabel, _structures(parameters))
        with quiet(ui.kindSelector, ui.anatomySelector, ui.minutesSpinBox, ui.trainDeviceSelector):
            _choose(ui.kindSelector, parameters.trainSimilarity)
            _choose(ui.anatomySelector, parameters.trainViews)
            _choose(ui.trainDeviceSelector, parameters.trainDevice)
            ui.minutesSpinBox.setValue(parameters.trainMinutes)
        model = training.modelOf(parameters)
        if not ui.modelLineEdit.focus:
            with quiet(ui.modelLineEdit):
                ui.modelLineEdit.setText("" if model is None else str(model))

    def _offer(self):
        """Enable what can be done now."""
        now = self._now
        busy, lacking = now.busy(), now.withoutCt()
        for control in (self._kind, self._views, self._minutes, self._device):
            control.offer(busy)
        for control in (self._model, self._browse):
            control.offer(busy or lacking)
        going = _("A training is running; cancel it first.") if self.running else ""
        self._train.offer(busy or going or lacking)
        model = None if now.parameters is None else training.modelOf(now.parameters)
        resumable = model is not None and training.canResume(model)
        none = _("There is no training of this file to go on with.")
        self._resume.offer(busy or going or lacking or ("" if resumable else none))
        self.ui.trainButton.setText(_("Train anew") if model is not None and model.is_file() else _("Train"))
        stopping = self._run is not None and self.running and self._run.isStopping()
        idle = _("It is ending already.") if stopping else ("" if self.running else _("No training is running."))
        self._cancel.offer("" if self._writing else idle)

    def _show(self):
        """Show how the training stands."""
        ui, run, moment = self.ui, self._run, self._moment
        ui.trainProgressBar.setValue(0 if moment is None or self._writing else round(100 * moment.fraction))
        tell(ui.trainStatusLabel, self._said or ("" if moment is None else _status(self._run, moment)))
        # Progress stays visible while the section is collapsed.
        share = (
            _(" ({percent} %)").format(percent=round(100 * moment.fraction))
            if moment is not None and moment.running
            else ""
        )
        self._panel.ui.trainCollapsibleButton.setText(self._title + share)
        state = None if self._run is None else (self._run.model, self._run.curveState())
        if state != self._drawn:
            self._drawn = state
            self._curve.show([] if self._run is None else self._run.curve())
        tell(ui.trainCardLabel, _card(run, moment) if run is not None and self.ended and run.hasNetwork() else "")


def _status(run, moment):
    """State of a training, in one line."""
    stands = {
        "starting": _("Starting Python"),
        "preparing": _("Preparing: {message}").format(message=moment.message),
        "ending": _("Putting things away"),
    }
    if moment.running and run.isStopping():
        return _("Ending it; the best network so far is kept.")
    if moment.state in stands:
        return stands[moment.state]
    if moment.running:
        return _progress(moment)
    kept = _("The best network so far is kept.") if run.hasNetwork() else _("There was no network yet.")
    if moment.state == "failed":
        return " ".join([moment.message, kept if run.hasNetwork() else ""]).strip()
    trained = networks.duration(moment.seconds)
    if moment.state == "stopped" and run.isStopping():
        return _("Cancelled after {time}. {kept}").format(time=trained, kept=kept)
    return _("Trained for {time}: {message}.").format(time=trained, message=moment.message)


def _progress(moment):
    """Iteration, speed, time left and error, as far as they are known."""
    told = [_("Iteration {number}").format(number=moment.iteration)]
    if moment.imagesPerSecond:
        told.append(_("{rate:.0f} images/s").format(rate=moment.imagesPerSecond))
    if moment.secondsLeft is not None:
        told.append(_("{time} left").format(time=networks.duration(moment.secondsLeft)))
    found = moment.validation
    errors = found.get("network") or found.get("physics") or found.get("clean")
    if errors:
        told.append(networks.inShort(errors))
    elif moment.state == "validating":
        told.append(_("measuring how well it does"))
    return " · ".join(told)


def _card(run, moment):
    """The result of a training, as text."""
    card = networks.cardOf(run.model)
    if card is not None:
        return networks.inWords(card)
    # The file has not been read yet: show the latest errors, which may not be those of the best network.
    told = [_("CT: {name}.").format(name=run.note["CT"])] if run.note.get("CT") else []
    if networks.stateOf(run.model):
        told.append(_("Network of {when}.").format(when=networks.day(run.model.stat().st_mtime)))
    return " ".join([*told, networks.errorsInWords(moment.validation)]).strip()


def _structures(parameters):
    """The structures of the CT that the simulated X-rays show."""
    node = parameters.segmentation
    segmentation = None if node is None else node.GetSegmentation()
    chosen = [segmentation.GetSegment(each) for each in parameters.structures] if segmentation else []
    names = [segment.GetName() for segment in chosen if segment is not None]
    return _("only {names}").format(names=", ".join(names)) if names else _("the whole CT")


def _namedKinds():
    """The purposes of networks: the architecture of a similarity or an empty text, and the displayed name."""
    similarities = networks.similarityNames().items()
    named = [(name, _("Similarity: {architecture}").format(architecture=text)) for name, text in similarities]
    return [("", _("Initial pose (pose regression)")), *named]


def _namedViews():
    """The sets of views that can be trained on: name in xrayreg.settings, and displayed name."""
    named = {
        "any_side": _("Any part, from any side"),
        "pelvis": _("Pelvis and hips, frontal"),
        "spine": _("Spine, frontal and lateral"),
        "chest": _("Chest, from the front or the back"),
        "brain": _("Head, frontal and lateral"),
        "vessels": _("Vessels, frontal"),
        "chen": _("Frontal (source in front), wide"),
        "deepfluoro": _("Pelvis, very wide (xvr)"),
        "ljubljana": _("Vessels of the head (xvr)"),
        "femur": _("Femur (xvr)"),
        "skull": _("Skull (xvr)"),
    }
    known = {name: text for name, text in named.items() if name in DISTRIBUTIONS}
    return [*known.items(), *((name, name) for name in DISTRIBUTIONS if name not in known)]


def _namedDevice(name):
    return {"auto": _("Automatic"), "cpu": _("Processor")}.get(name, name.upper())


def _fill(selector, entries):
    with quiet(selector):
        for value, text in entries:
            selector.addItem(text, value)


def _choose(selector, value):
    selector.setCurrentIndex(int(selector.findData(value)))
