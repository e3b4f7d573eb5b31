"""What XRayRegistrationLib makes of Qt through PythonQt: values, and widgets that no UI file has.

Properties of Qt are attributes in PythonQt, so `Any` stands for widgets and signals.
"""

from typing import Any

Qt: Any
QBrush: Any
QComboBox: Any
QEvent: Any
QFileDialog: Any
QHeaderView: Any
QIcon: Any
QListWidgetItem: Any
QPainter: Any
QPen: Any
QPixmap: Any
QSizePolicy: Any
QStandardPaths: Any
QTableWidgetItem: Any
QToolButton: Any
QVBoxLayout: Any

class QColor:
    def __init__(self, *parts: Any) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    @staticmethod
    def fromRgbF(red: float, green: float, blue: float) -> QColor: ...

class QObject:
    def __init__(self, parent: QObject | None = ...) -> None: ...
    def deleteLater(self) -> None: ...

class QTimer(QObject):
    timeout: Any
    def isActive(self) -> bool: ...
    def setInterval(self, ms: int) -> None: ...
    def setSingleShot(self, once: bool) -> None: ...
    @staticmethod
    def singleShot(ms: int, call: Any) -> None: ...
    def start(self, ms: int = ...) -> None: ...
    def stop(self) -> None: ...

class QSettings(QObject):
    def remove(self, key: str) -> None: ...
    def setValue(self, key: str, value: Any) -> None: ...
    def value(self, key: str, default: Any = ...) -> Any: ...
