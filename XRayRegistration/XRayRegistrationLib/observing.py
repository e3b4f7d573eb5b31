"""Observers of the scene that keep nothing alive but what they observe now."""

from __future__ import annotations

from typing import Any


class Observers:
    """Observes what it was last asked to follow, and no longer what it followed before.

    slicer.util.VTKObservationMixin is not for nodes that come and go: it keeps a node after its last observer was
    removed, and with a volume node all of its voxels.
    """

    def __init__(self) -> None:
        self._tags: dict[tuple[Any, Any], int] = {}

    def follow(self, wanted: dict[Any, Any]) -> None:
        """Observe this and nothing else. wanted: by (VTK object, event), what is called as call(caller, event)."""
        for key in [key for key in self._tags if key not in wanted]:
            self.drop(*key)
        for (watched, event), call in wanted.items():
            if (watched, event) not in self._tags:
                self._tags[watched, event] = watched.AddObserver(event, call)

    def drop(self, watched: Any, event: Any) -> None:
        """Observe one thing no longer, where it was observed."""
        tag = self._tags.pop((watched, event), None)
        if tag is not None:
            watched.RemoveObserver(tag)

    def clear(self) -> None:
        """Observe nothing any more."""
        self.follow({})
