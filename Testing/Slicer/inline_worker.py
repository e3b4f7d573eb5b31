"""The worker inside the test's own process: the same messages, arrays and handlers, without the seconds that one takes
to start. test_worker.py runs the real one."""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import Any, TypeVar

from nodes import run

from xrayreg.worker.arrays import ArrayFolder
from xrayreg.worker.messages import Unpacker, packed

T = TypeVar("T")


class _Closed(BaseException):
    """The connection was closed while a request was being done."""


class InlineConnection:
    """Stands in for XRayRegistrationLib.worker.connection.Connection; each look for messages does some work.

    A request works in a thread of its own up to its next pause, and only while somebody looks for messages: the two
    never run at the same time, as the window's turn is over then.
    """

    def __init__(self) -> None:
        from xrayreg.worker.requests import HANDLERS
        from xrayreg.worker.service import Room, Service

        self._folder = tempfile.TemporaryDirectory(prefix="inline-worker-")
        folder = Path(self._folder.name)
        self.arrays = ArrayFolder(folder, "s")
        self.room = Room(ArrayFolder(folder, "w"))
        self._outgoing = b""
        self._service = Service(self.room, HANDLERS, self._answer, self._pause)
        self._incoming, self._unpacker = Unpacker(), Unpacker()
        self._turn, self._over = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, message: dict[str, Any]) -> None:
        for each in self._incoming.feed(packed(message)):
            self._service.receive(each)

    def receive(self) -> list[dict[str, Any]]:
        if self._thread is not None or self._service.busy:
            self._let_work()
        data, self._outgoing = self._outgoing, b""
        return self._unpacker.feed(data)

    def wait(self, seconds: float) -> None:
        """Nothing works meanwhile."""

    def ending(self) -> str:
        return ""

    def close(self) -> None:
        self._closed = True
        if self._thread is not None:
            self._let_work()
        self._folder.cleanup()

    def _let_work(self) -> None:
        """Let the request that is being done go on to its next pause, or begin the next one."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._turn.release()
        self._over.acquire()

    def _work(self) -> None:
        self._turn.acquire()
        try:
            self._service.advance()
        except _Closed:
            return
        finally:
            self._thread = None
            self._over.release()

    def _pause(self) -> None:
        self._over.release()
        self._turn.acquire()
        if self._closed:
            raise _Closed

    def _answer(self, message: dict[str, Any]) -> None:
        self._outgoing += packed(message)


def new_worker() -> Any:
    """A worker that nobody else asks (worker.client.Worker)."""
    from XRayRegistrationLib.worker.client import Worker

    return Worker()


def new_inputs() -> Any:
    """What brings nodes to a worker of its own (mrml.backend.Inputs)."""
    from XRayRegistrationLib.mrml.backend import Inputs

    return Inputs()


def held(handle: Any, kind: type[T]) -> T:
    """The worker's value of a handle (worker.client.Handle)."""
    value: T = handle._worker._connection.room.kept.value(handle.number, kind)
    return value


def volume_of(inputs: Any, node: Any, segmentation: Any = None) -> Any:
    """The CT of a node (xrayreg.scene.Volume) as the worker of `inputs` has it."""
    from xrayreg.scene import Volume

    return held(run(inputs.volumeSteps(node, segmentation)).handle, Volume)


def radiograph_of(inputs: Any, view: Any) -> Any:
    """The X-ray of a view (xrayreg.scene.Radiograph) as the worker of `inputs` has it."""
    from xrayreg.worker.inputs import ShownXray

    return held(run(inputs.xraySteps(view)).handle, ShownXray).radiograph


def scene_of(inputs: Any, parameters: Any, initial: Any = None) -> Any:
    """What is registered (xrayreg.scene.Scene) as the worker of `inputs` gets it."""
    return registered_scene(inputs, run(inputs.sceneSteps(parameters, initial)))


def registered_scene(inputs: Any, sent: Any) -> Any:
    """A mrml.backend.SentScene as the worker reads it (xrayreg.scene.Scene)."""
    from xrayreg.worker import inputs as requests

    return requests.scene_of(inputs.worker._connection.room, json.loads(json.dumps(sent.content())))
