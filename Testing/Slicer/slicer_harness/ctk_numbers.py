"""Stand-ins for CTK's and qMRML's sliders and spin boxes."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtCore import Property, QEvent, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSizePolicy, QSlider, QWidget

from .pythonqt import stand_in
from .values import stored

_MOST_POSITIONS = 1_000_000
_SPIN_BOX_PX = 90
_PRESSED_OR_RELEASED = (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease)
# QDoubleSpinBox rounds to its decimals by printing: infinity, which the parameter node wrapper sends, will not do.
_LARGEST = 1e15


def _finite(value: float) -> float:
    return max(-_LARGEST, min(_LARGEST, value)) if not math.isnan(value) else 0.0


@stand_in
class ctkDoubleSpinBox(QDoubleSpinBox):
    """A spin box that can change its decimals."""

    decimalsChanged = Signal(int)


@stand_in
class ctkDoubleSlider(QWidget):
    """A slider with real values."""

    valueChanged = Signal(float)
    sliderMoved = Signal(float)
    sliderPressed = Signal()
    sliderReleased = Signal()
    rangeChanged = Signal(float, float)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((argument for argument in arguments if isinstance(argument, QWidget)), None))
        self._value, self._low, self._high, self._step, self._page = 0.0, 0.0, 99.0, 1.0, 10.0
        self._slider = QSlider(Qt.Orientation.Horizontal, self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        self._slider.valueChanged.connect(self._on_position)
        self._slider.sliderMoved.connect(lambda position: self.sliderMoved.emit(self._at(position)))
        self._slider.sliderPressed.connect(self.sliderPressed)
        self._slider.sliderReleased.connect(self.sliderReleased)
        self._rescale()

    def _rescale(self) -> None:
        positions = min(_MOST_POSITIONS, max(1, round((self._high - self._low) / self._step)))
        self._slider.blockSignals(True)
        self._slider.setRange(0, positions)
        self._slider.setSingleStep(1)
        self._slider.setPageStep(max(1, round(self._page / self._step)))
        self._slider.blockSignals(False)
        self._move_handle()

    def _at(self, position: int) -> float:
        return self._low + position / self._slider.property("maximum") * (self._high - self._low)

    def _move_handle(self) -> None:
        share = (self._value - self._low) / (self._high - self._low) if self._high > self._low else 0.0
        self._slider.blockSignals(True)
        self._slider.setValue(round(share * self._slider.property("maximum")))
        self._slider.blockSignals(False)

    def _on_position(self, position: int) -> None:
        self._set_value(self._at(position))

    def _set_value(self, value: float) -> None:
        value = max(self._low, min(self._high, value))
        changed = value != self._value
        self._value = value
        self._move_handle()
        if changed:
            self.valueChanged.emit(value)

    def _set_range(self, low: float, high: float) -> None:
        changed = (low, high) != (self._low, self._high)
        self._low, self._high = low, max(low, high)
        self._rescale()
        if changed:
            self.rangeChanged.emit(self._low, self._high)
        self._set_value(self._value)

    def setValue(self, value: float) -> None:
        self._set_value(value)

    def _set_step(self, step: float) -> None:
        self._step = step
        self._rescale()

    def _set_page(self, step: float) -> None:
        self._page = step
        self._rescale()

    value = Property(float, lambda self: self._value, setValue, notify=valueChanged)
    minimum = Property(float, lambda self: self._low, lambda self, low: self._set_range(low, max(low, self._high)))
    maximum = Property(float, lambda self: self._high, lambda self, high: self._set_range(min(self._low, high), high))
    singleStep = Property(float, lambda self: self._step, _set_step)
    pageStep = Property(float, lambda self: self._page, _set_page)
    tracking = Property(
        bool, lambda self: self._slider.property("tracking"), lambda self, on: self._slider.setTracking(on)
    )


@stand_in
class ctkSliderWidget(QWidget):
    """A slider and a spin box that show one value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)
    tracking = stored(bool, "tracking", True)
    tickInterval = stored(float, "tickInterval", 0.0)
    popupSlider = stored(bool, "popupSlider", False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._spin = ctkDoubleSlider(self), QDoubleSpinBox(self)
        self._changing, self._before, self._quiet = False, 0.0, False
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self._spin.setMinimumWidth(_SPIN_BOX_PX)
        self._slider._set_range(self._spin.property("minimum"), self._spin.property("maximum"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._spin.valueChanged.connect(self._on_spin_box)
        self._spin.installEventFilter(self)
        self._slider.sliderPressed.connect(self._start)
        self._slider.sliderReleased.connect(self._stop)
        self._slider.valueChanged.connect(self._on_slider)

    def showEvent(self, event: Any) -> None:
        """Sliders of one section get spin boxes of one width."""
        near = self.parent().children() if self.parent() else ()
        siblings = [child for child in near if isinstance(child, ctkSliderWidget)]
        widest = max((slider._spin.property("sizeHint").width() for slider in siblings), default=0)
        for slider in siblings:
            slider._spin.setMinimumWidth(max(widest, _SPIN_BOX_PX))

    def _on_spin_box(self, value: float) -> None:
        if not self._quiet:
            self._slider.setValue(value)

    def _on_slider(self, value: float) -> None:
        self._quiet = True
        self._spin.setValue(value)
        self._quiet = False
        if not self.property("tracking"):
            self.valueIsChanging.emit(value)
        if not self._changing:
            self.valueChanged.emit(value)

    def _start(self) -> None:
        if not self.property("tracking"):
            self._before = self._slider.property("value")
            self._changing = True

    def _stop(self) -> None:
        if self._changing:
            self._changing = False
            if self._slider.property("value") != self._before:
                self.valueChanged.emit(self._slider.property("value"))

    def eventFilter(self, watched: Any, event: Any) -> bool:
        kind = event.type()
        if kind in _PRESSED_OR_RELEASED:
            (self._start if kind == QEvent.Type.MouseButtonPress else self._stop)()
        return False

    def setValue(self, value: float) -> None:
        """Kept within the range; only what the spin box shows is rounded (ctkDoubleSpinBox::setValueAlways)."""
        changing, self._changing = self._changing, False
        self._slider.setValue(_finite(value))
        self._changing = changing

    def reset(self) -> None:
        self.setValue(0.0)

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)
        self._set_range(self._spin.property("minimum"), self._spin.property("maximum"))
        self.decimalsChanged.emit(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(visible)

    def _set_range(self, low: float, high: float) -> None:
        self._quiet = True
        self._spin.setRange(_finite(low), _finite(high))
        self._quiet = False
        self._slider._set_range(self._spin.property("minimum"), self._spin.property("maximum"))

    def _set_step(self, step: float) -> None:
        self._spin.setSingleStep(step)
        # As an attribute it would be kept in the instance while a .ui file is loaded.
        self._slider.setProperty("singleStep", step)

    def _set_page(self, step: float) -> None:
        self._slider.setProperty("pageStep", step)

    value = Property(
        float,
        lambda self: self._before if self._changing else self._slider.property("value"),
        setValue,
    )
    minimum = Property(
        float,
        lambda self: self._slider.property("minimum"),
        lambda self, low: self._set_range(low, max(low, self._slider.property("maximum"))),
    )
    maximum = Property(
        float,
        lambda self: self._slider.property("maximum"),
        lambda self, high: self._set_range(min(high, self._slider.property("minimum")), high),
    )
    singleStep = Property(float, lambda self: self._slider.property("singleStep"), _set_step)
    pageStep = Property(float, lambda self: self._slider.property("pageStep"), _set_page)
    decimals = Property(int, lambda self: self._spin.property("decimals"), setDecimals, notify=decimalsChanged)
    suffix = Property(str, lambda self: self._spin.property("suffix"), lambda self, text: self._spin.setSuffix(text))
    prefix = Property(str, lambda self: self._spin.property("prefix"), lambda self, text: self._spin.setPrefix(text))
    spinBoxVisible = Property(bool, lambda self: not self._spin.isHidden(), setSpinBoxVisible)


@stand_in
class qMRMLSliderWidget(ctkSliderWidget):
    """A slider that shows a quantity in the scene's units; here, in its own."""

    quantity = stored(str, "quantity", "")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


@stand_in
class qMRMLSpinBox(ctkDoubleSpinBox):
    """A spin box that shows a quantity in the scene's units; here, in its own."""

    quantity = stored(str, "quantity", "")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


WIDGETS = (ctkDoubleSlider, ctkDoubleSpinBox, ctkSliderWidget)
QMRML_WIDGETS = (qMRMLSliderWidget, qMRMLSpinBox)
