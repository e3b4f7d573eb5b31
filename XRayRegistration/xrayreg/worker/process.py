"""The worker's process: messages from standard input, answers to standard output, until the client closes either."""

from __future__ import annotations

import os
import queue
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from .arrays import ArrayFolder
from .messages import UNLOADABLE, BrokenStream, Unpacker, packed
from .service import Room, Service

_READ_BYTES = 1 << 16


class _Closed(BaseException):
    """The input ended; its cause is the BrokenStream that ended it, if any. It aborts running requests."""


def serve(folder: Path) -> int:
    """Serve the client's requests until it closes the stream; `folder` holds arrays and is removed with the process.

    Returns the exit code: 0, 2 after an invalid message, or UNLOADABLE where a package cannot be loaded.
    """
    requests, answers = _own_streams()
    arrived: queue.SimpleQueue[dict[str, Any] | BrokenStream | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, arrived), daemon=True).start()
    try:
        try:
            from .requests import HANDLERS
        except (ImportError, OSError) as error:
            # A library that does not load on Windows is an OSError.
            sys.stderr.write(f"{error or type(error).__name__}\n")
            return UNLOADABLE

        def take() -> None:
            message = arrived.get()
            if message is None:
                raise _Closed
            if isinstance(message, BrokenStream):
                raise _Closed from message
            service.receive(message)

        def listen() -> None:
            while not arrived.empty():
                take()

        room = Room(ArrayFolder(folder, "w"))
        service = Service(room, HANDLERS, lambda message: _write(answers, message), listen)
        _write(answers, {"ready": os.getpid()})
        while True:
            if not service.busy:
                take()
            listen()
            service.advance()
    except _Closed as closed:
        if closed.__cause__ is None:
            return 0
        sys.stderr.write(f"The worker ends: {closed.__cause__}.\n")
        return 2
    except BrokenPipeError:
        # The client has closed the stream.
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output reserved for messages; output printed by libraries goes to standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    silent = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silent, 0)
    os.close(silent)
    os.dup2(2, 1)
    return requests, answers


def _read(stream: BinaryIO, arrived: queue.SimpleQueue[dict[str, Any] | BrokenStream | None]) -> None:
    """Put messages into the queue as they arrive; None, or the reason, once nothing more can follow."""
    unpacker = Unpacker()
    try:
        while data := stream.read(_READ_BYTES):
            for message in unpacker.feed(data):
                arrived.put(message)
    except BrokenStream as error:
        arrived.put(error)
    else:
        arrived.put(None)


def _write(stream: BinaryIO, message: dict[str, Any]) -> None:
    data = memoryview(packed(message))
    while data:
        data = data[stream.write(data) or 0 :]
