"""What all docks share: their viewer, their runner, the scrolling column, and how they go away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QProgressBar, QScrollArea, QVBoxLayout, QWidget

from vitascope.gui.common.layout import scrolling
from vitascope.gui.common.main_thread import MainThreadOnly
from vitascope.gui.common.runner import Launch, Runner

if TYPE_CHECKING:
    import napari.viewer


class Dock(QWidget):  # type: ignore[misc]
    """A dock that cancels its run and leaves the viewer alone when it is closed.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None) -> None:
        super().__init__()
        # napari hands out a stand-in whose layers are never identical to themselves.
        self._viewer: Any = MainThreadOnly(getattr(napari_viewer, "__wrapped__", napari_viewer))
        self.runner = runner or Runner(activity=hasattr(self._viewer, "window"))
        self._open = True
        self._listening: list[tuple[Any, Callable[..., Any]]] = []
        # The runner outlives this widget: a dock that goes away takes its run along.
        self.destroyed.connect(self.runner.cancel)

    def _listen(self, slot: Callable[..., Any], *events: Any) -> None:
        """Be told of events of the viewer until the dock is closed."""
        for event in events:
            event.connect(slot)
            self._listening.append((event, slot))

    def _while_open(self, launch: Launch) -> Launch:
        """Let nothing that was launched arrive at a dock that is gone."""

        def launched(work: Callable[[], Any], then: Callable[[Any], None]) -> None:
            launch(work, lambda value: then(value) if isalive(self) and self._open else None)

        return launched

    def _text_colour(self) -> str:
        return str(get_theme(self._viewer.theme).text.as_hex())

    def event(self, event: QEvent) -> bool:
        """Notice that the dock was closed: napari then takes the widget out of its window."""
        if event.type() == QEvent.Type.ParentChange and self._open:
            if self.parent() is None:
                self.close_down()
            else:
                QTimer.singleShot(0, self._join_tabs)  # napari places it in its window after this
        handled: bool = super().event(event)
        return handled

    def _join_tabs(self) -> None:
        """Stand as a tab in front of another dock of ours: side by side or above each other, neither has room."""
        window = self.window() if isalive(self) else None
        if not isalive(self):  # it went before the event loop came round
            return
        mine = _frame_of(self)
        if not self._open or mine is None or not isinstance(window, QMainWindow):
            return
        area = window.dockWidgetArea(mine)
        for other in window.findChildren(Dock):
            frame = _frame_of(other)
            joined = frame is not None and frame in window.tabifiedDockWidgets(mine)
            if other is self or frame is None or joined or frame.isFloating() or mine.isFloating():
                continue
            if other._open and frame.isVisibleTo(window) and window.dockWidgetArea(frame) == area:
                window.tabifyDockWidget(frame, mine)
                # the bar of tabs knows of it only when it is laid out
                QTimer.singleShot(0, lambda: mine.raise_() if isalive(mine) else None)
                return

    @property
    def is_open(self) -> bool:
        """Whether the dock was not closed yet."""
        return self._open

    def come_to_front(self) -> None:
        """Be the tab that is seen."""
        frame = _frame_of(self)
        if frame is not None:
            frame.show()
            frame.raise_()

    def close_down(self) -> None:
        """Cancel the run, leave the viewer alone, and go."""
        self._open = False
        self.runner.cancel()
        for event, slot in self._listening:
            event.disconnect(slot)
        self._listening.clear()
        self.deleteLater()

    def _show_column(self, inside: QWidget, width_px: int, foot: Sequence[QWidget] = ()) -> QScrollArea:
        """Fill the dock with a column that scrolls up and down only; what stands at its foot is always in view."""
        area = scrolling(inside)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(area, 1)
        for part in foot:
            layout.addWidget(part)
        self.setMinimumWidth(width_px)
        return area


def _frame_of(widget: QWidget) -> QDockWidget | None:
    """Return the frame that a dock stands in."""
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def make_column() -> tuple[QWidget, QVBoxLayout]:
    """Make the widget that a dock's column stands in, and its layout."""
    inside = QWidget()
    column = QVBoxLayout(inside)
    column.setContentsMargins(8, 4, 8, 8)
    column.setSpacing(6)
    return inside, column


def make_bar() -> QProgressBar:
    """Make the thin bar of a run; hidden until there is one."""
    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setMaximumHeight(8)
    bar.hide()
    return bar
