"""The similarity as it rises, drawn into a label."""

import qt
from slicer.i18n import tr as _

from .controls import Resized

# Space around the curve for its labels [pixels].
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 52, 20, 8
_LINE_PX = 2
# The stages that are drawn; lines are readable on light and on dark panels.
_COLORS = {"search": "#8a8f98", "refine": "#2f8fd0"}
_FAINT = "#8a8f98"
# A flat curve is not blown up to the full height.
_LEAST_SPAN = 0.02


class SimilarityCurve:
    """Draws the similarities of a registration's steps; where they are not comparable a new line begins."""

    def __init__(self, label):
        self._label = label
        self._resized = Resized(label, self.draw)
        self.clear()

    def clear(self):
        self._lines, self._last = [], None
        self.draw()

    def add(self, progress):
        """One more step (jobs.registration.Progress); one without similarity is left out."""
        if progress.similarity is None or progress.stage not in _COLORS:
            return
        # Images of another size have another similarity, and only the message of a refinement tells the size.
        kind = (progress.stage, progress.message if progress.stage == "refine" else "")
        if kind != self._last:
            self._last = kind
            self._lines.append((progress.stage, []))
        self._lines[-1][1].append(float(progress.similarity))
        self.draw()

    @property
    def points(self):
        """All similarities in order."""
        return [value for _stage, values in self._lines for value in values]

    def draw(self):
        """Paint the curve anew, as wide as the label is now."""
        picture = qt.QPixmap(max(int(self._label.width), 100), max(int(self._label.height), 40))
        picture.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter()
        painter.begin(picture)
        self._paint(painter, int(picture.width()), int(picture.height()))
        painter.end()
        self._label.setPixmap(picture)

    def _paint(self, painter, width, height):
        pen = qt.QPen(qt.QColor(_FAINT))
        painter.setPen(pen)
        painter.drawText(_LEFT, _TOP - 8, _("Similarity"))
        painter.drawLine(_LEFT, height - _BOTTOM, width - _RIGHT, height - _BOTTOM)
        values = self.points
        if not values:
            return
        low, span = min(values), max(max(values) - min(values), _LEAST_SPAN)
        across = (width - _LEFT - _RIGHT) / max(len(values) - 1, 1)

        def at(number, value):
            return round(_LEFT + number * across), round(
                height - _BOTTOM - (value - low) / span * (height - _TOP - _BOTTOM)
            )

        pen.setWidth(_LINE_PX)
        first = 0
        for stage, line in self._lines:
            pen.setColor(qt.QColor(_COLORS[stage]))
            painter.setPen(pen)
            ends = [at(first + number, value) for number, value in enumerate(line)]
            for start, end in zip([ends[0], *ends], ends, strict=False):
                painter.drawLine(*start, *end)
            first += len(line)
        painter.drawText(width - _RIGHT + 6, ends[-1][1] + 4, f"{values[-1]:.3f}")
