"""A picture of the whole window as a user would see it: the panel at the left, the layout's views at the right."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QWidget

_PANEL_PX = 500
_BAR_PX, _GAP_PX, _SCROLL_PX = 20, 2, 12
_BACKGROUND = QColor(60, 60, 60)


def arrange(app: Any, size: tuple[int, int]) -> None:
    """Give the views on the screen the sizes of their cells, as Slicer's window does when the layout changes."""
    for node, cell in _cells(app, _views_area(size)):
        if app.layouts.viewWidget(node) is not None:
            app.layouts.view_of(node).resize(cell.width(), cell.height() - _BAR_PX)


def picture(app: Any, widget: Any, path: Path, size: tuple[int, int], scroll_px: int = 0) -> None:
    """Write a PNG; every view is drawn at its cell's size and then gets its own size back."""
    width, height = size
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(_BACKGROUND)
    painter = QPainter(image)
    _draw_panel(app, painter, widget.parent, height, scroll_px)
    for node, cell in _cells(app, _views_area(size)):
        _draw_view(app, painter, node, cell)
    painter.end()
    if not image.save(str(path)):
        raise OSError(f"{path} was not written")


def _views_area(size: tuple[int, int]) -> QRect:
    """What the panel leaves of the window."""
    return QRect(_PANEL_PX + _GAP_PX, 0, size[0] - _PANEL_PX - _GAP_PX, size[1])


def _draw_panel(app: Any, painter: QPainter, panel: Any, height: int, scroll_px: int) -> None:
    """The panel as in Slicer's scroll area: what does not fit is out of sight, and then there is a scroll bar."""
    before = panel.property("size")
    panel.resize(_PANEL_PX, height)
    app.processEvents()
    # Form layouts in a section that was just unfolded keep the heights that their wrapped lines had at another width.
    for each in panel.findChildren(QWidget):
        each.updateGeometry()
    app.processEvents()
    needed = panel.layout().totalMinimumHeightForWidth(_PANEL_PX)
    if needed > height:
        # As QScrollArea does: lines that wrap need their height at this width.
        needed = panel.layout().totalHeightForWidth(_PANEL_PX - _SCROLL_PX)
        panel.resize(_PANEL_PX - _SCROLL_PX, needed)
        app.processEvents()
    start = max(0, min(scroll_px, needed - height))
    painter.drawPixmap(0, 0, panel.grab().copy(0, start, _PANEL_PX, height))
    if needed > height:
        bar = QRect(_PANEL_PX - _SCROLL_PX, 0, _SCROLL_PX, height)
        painter.fillRect(bar, QColor(225, 225, 225))
        top, length = height * start // needed, height * height // needed
        painter.fillRect(bar.left() + 2, top + 2, _SCROLL_PX - 4, length - 4, QColor(170, 170, 170))
    panel.resize(before)


def _cells(app: Any, area: QRect) -> list[tuple[Any, QRect]]:
    """The view nodes of the current layout with their cells."""
    root = ElementTree.fromstring(app.layouts.layoutLogic().GetLayoutNode().GetCurrentLayoutDescription())
    return list(_arranged(app, root, area))


def _arranged(app: Any, element: Any, area: QRect) -> Any:
    if element.tag == "view":
        node = app.scene.GetSingletonNode(element.get("singletontag"), element.get("class"))
        if node is not None:
            yield node, area
    elif element.tag == "viewports":
        yield from _arranged(app, element[0], area)
    elif element.get("type") in ("tab", "grid") or element.tag == "item":
        for child in element:
            yield from _arranged(app, child, area)
            if element.get("type") == "tab":
                return
    else:
        items = list(element)
        shares = [float(item.get("splitSize") or item.get("multiplier") or 1) for item in items]
        across = element.get("type") == "horizontal"
        length = (area.width() if across else area.height()) - _GAP_PX * (len(items) - 1)
        start = float(area.left() if across else area.top())
        for item, share in zip(items, shares, strict=True):
            extent = length * share / sum(shares)
            place = (round(start), area.top(), round(extent), area.height())
            if not across:
                place = (area.left(), round(start), area.width(), round(extent))
            yield from _arranged(app, item, QRect(*place))
            start += extent + _GAP_PX


def _draw_view(app: Any, painter: QPainter, node: Any, cell: QRect) -> None:
    colour = QColor.fromRgbF(*node.GetLayoutColor())
    bar = QRect(cell.left(), cell.top(), cell.width(), _BAR_PX)
    painter.fillRect(bar, colour)
    painter.setPen(QColor(0, 0, 0))
    painter.drawText(bar.adjusted(8, 0, -8, 0), Qt.AlignmentFlag.AlignVCenter, node.GetLayoutLabel() or "")
    if app.layouts.viewWidget(node) is None:
        return
    view = app.layouts.view_of(node)
    before, seen = view.size, node.GetFieldOfView() if node.IsA("vtkMRMLSliceNode") else None
    view.resize(cell.width(), cell.height() - _BAR_PX)
    pixels = view.picture()
    shown = QImage(pixels.tobytes(), pixels.shape[1], pixels.shape[0], 3 * pixels.shape[1], QImage.Format.Format_RGB888)
    painter.drawImage(cell.left(), cell.top() + _BAR_PX, shown)
    view.resize(*before)
    if seen is not None:
        node.SetFieldOfView(*seen)
