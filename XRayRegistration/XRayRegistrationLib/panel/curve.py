"""Curves drawn into a label: the similarity as it rises, and the errors of a network as they fall."""

from __future__ import annotations

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


class Chart:
    """Lines in a label, as wide as the label is, with a title above and the last value at the right."""

    def __init__(self, label, title, written, low=None):
        """written: a value as text. low: where the vertical axis begins; the smallest value when not given."""
        self._label, self._title, self._written, self._low = label, title, written, low
        self._lines = []
        self._resized = Resized(label, self.draw)

    def close(self):
        """Follow the label's width no longer."""
        self._resized.close()

    def show(self, lines, title=None):
        """Draw lines, each a colour and its points (x, y), x rising; what was drawn before goes. title: a new one."""
        self._title = self._title if title is None else title
        self._lines = [line for line in lines if line[1]]
        self.draw()

    def draw(self):
        """Paint everything anew."""
        width, height = max(int(self._label.width), 100), max(int(self._label.height), 40)
        # On a screen of high density each of these pixels is several of the screen's.
        density = float(self._label.devicePixelRatioF())
        picture = qt.QPixmap(round(density * width), round(density * height))
        picture.setDevicePixelRatio(density)
        picture.fill(qt.QColor(0, 0, 0, 0))
        painter = qt.QPainter()
        painter.begin(picture)
        self._paint(painter, width, height)
        painter.end()
        self._label.setPixmap(picture)

    def _paint(self, painter, width, height):
        pen = qt.QPen(qt.QColor(_FAINT))
        painter.setPen(pen)
        painter.drawText(_LEFT, _TOP - 8, self._title)
        painter.drawLine(_LEFT, height - _BOTTOM, width - _RIGHT, height - _BOTTOM)
        if not self._lines:
            return
        across = [x for _color, points in self._lines for x, _y in points]
        values = [y for _color, points in self._lines for _x, y in points]
        first, length = min(across), max(max(across) - min(across), 1e-9)
        low = min(values) if self._low is None else self._low
        span = max(max(values) - low, _LEAST_SPAN)

        def at(x, y):
            right, up = (x - first) / length, (y - low) / span
            return (
                round(_LEFT + right * (width - _LEFT - _RIGHT)),
                round(height - _BOTTOM - up * (height - _TOP - _BOTTOM)),
            )

        pen.setWidth(_LINE_PX)
        for color, points in self._lines:
            pen.setColor(qt.QColor(color))
            painter.setPen(pen)
            ends = [at(x, y) for x, y in points]
            for start, end in zip([ends[0], *ends], ends, strict=False):
                painter.drawLine(*start, *end)
        painter.drawText(width - _RIGHT + 6, ends[-1][1] + 4, self._written(points[-1][1]))


class SimilarityCurve:
    """Draws the similarities of a registration's steps; where they are not comparable a new line begins."""

    def __init__(self, label):
        self._chart = Chart(label, _("Similarity"), "{:.3f}".format)
        self.clear()

    def close(self):
        self._chart.close()

    def clear(self):
        self._lines, self._last = [], None
        self._chart.show([])

    def add(self, progress):
        """One more step (jobs.registration.Progress); one without similarity is left out."""
        if progress.similarity is None or progress.stage not in _COLORS:
            return
        # Images of another size have another similarity, and only the message of a refinement tells the size.
        kind = (progress.stage, progress.message if progress.stage == "refine" else "")
        if kind != self._last:
            self._last = kind
            self._lines.append((_COLORS[progress.stage], []))
        self._lines[-1][1].append((len(self.points), float(progress.similarity)))
        self._chart.show(self._lines)

    @property
    def points(self):
        """All similarities in order."""
        return [value for _color, line in self._lines for _number, value in line]


class ErrorCurve:
    """Draws how far a network's poses, or a similarity's gradients, are off, by the time that it was trained."""

    # Lines by column of the curve's table; the one that matters comes last: its value is written.
    _ERRORS = (("clean_mtre_mm", "#8a8f98"), ("physics_mtre_mm", "#2f8fd0"))
    _ANGLES = (("zncc_whole_deg", "#8a8f98"), ("network_whole_deg", "#2f8fd0"))

    def __init__(self, label):
        self._label = label
        self._chart = Chart(label, "", "{:.1f}".format, 0.0)

    def close(self):
        self._chart.close()

    def show(self, rows):
        """rows: of jobs.runFolder.curveOf. Hidden while there is nothing to draw."""
        errors, angles = (self._lines(rows, columns) for columns in (self._ERRORS, self._ANGLES))
        ofSimilarity = any(points for _color, points in angles)
        title = _("Median error [mm] (grey: DRRs, blue: simulated X-rays)")
        if ofSimilarity:
            title = _("Angle to the ideal gradient [°] (grey: correlation, blue: network)")
        lines = angles if ofSimilarity else errors
        self._label.setVisible(any(points for _color, points in lines))
        self._chart.show(lines, title)

    @staticmethod
    def _lines(rows, columns):
        return [
            (color, [(row["seconds"], row[name]) for row in rows if row.get(name) is not None])
            for name, color in columns
        ]
