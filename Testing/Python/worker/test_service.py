"""Requests take turns, hands come first, and errors arrive as what they are."""

from __future__ import annotations

from typing import Any

import pytest

from xrayreg.checks import InputError
from xrayreg.worker.arrays import ArrayFolder
from xrayreg.worker.service import Handler, Kept, Room, Service


def counting(room: Room, content: Any) -> Any:
    """News for each number below `content["to"]`."""
    for number in range(content["to"]):
        yield {"number": number}
    return {"counted": content["to"]}


def failing(room: Room, content: Any) -> Any:
    yield None
    if content["input"]:
        raise InputError("CT", expected="an image", found="none", remedy="load it again")
    raise ZeroDivisionError("division by zero")


class Log(list):  # type: ignore[type-arg]
    """What was sent, and what tasks did."""


def service(tmp_path: Any) -> tuple[Service, Log]:
    log = Log()

    def closing(room: Room, content: Any) -> Any:
        try:
            while True:
                yield None
        finally:
            log.append("closed")

    handlers = {
        "count": Handler(counting), "hand": Handler(counting, urgent=True), "fail": Handler(failing),
        "close": Handler(closing),
    }  # fmt: skip
    return Service(Room(ArrayFolder(tmp_path, "w")), handlers, log.append), log


def finish(made: Service) -> None:
    while made.busy:
        made.advance()


def ask(made: Service, identifier: int, kind: str, **content: Any) -> None:
    made.receive({"id": identifier, "kind": kind, "content": content})


def test_a_request_brings_its_news_and_then_its_answer(tmp_path):
    made, log = service(tmp_path)
    ask(made, 3, "count", to=2)
    finish(made)
    assert log == [
        {"id": 3, "news": {"number": 0}}, {"id": 3, "news": {"number": 1}}, {"id": 3, "answer": {"counted": 2}}
    ]  # fmt: skip


def test_requests_take_turns(tmp_path):
    made, log = service(tmp_path)
    ask(made, 1, "count", to=3)
    ask(made, 2, "count", to=3)
    finish(made)
    assert [each["id"] for each in log] == [1, 2, 1, 2, 1, 2, 1, 2]


def test_a_hand_does_not_wait_for_anybody(tmp_path):
    made, log = service(tmp_path)
    ask(made, 1, "count", to=3)
    made.advance()
    ask(made, 2, "hand", to=2)
    finish(made)
    assert [each["id"] for each in log] == [1, 2, 2, 2, 1, 1, 1]


def test_what_is_cancelled_is_closed_and_says_so_once(tmp_path):
    made, log = service(tmp_path)
    ask(made, 5, "close")
    made.advance()
    made.receive({"cancel": 5})
    made.receive({"cancel": 5})
    assert log == ["closed", {"id": 5, "ended": True}]
    assert not made.busy


def test_errors_arrive_in_their_parts_and_others_go_on(tmp_path):
    made, log = service(tmp_path)
    ask(made, 1, "fail", input=True)
    ask(made, 2, "fail", input=False)
    ask(made, 3, "count", to=0)
    finish(made)
    by_id = {each["id"]: each for each in log}
    assert by_id[1]["error"] == {
        "what": "CT", "expected": "an image", "found": "none", "remedy": "load it again"
    }  # fmt: skip
    assert by_id[2]["failure"]["kind"] == "ZeroDivisionError"
    assert by_id[2]["failure"]["text"] == "division by zero"
    assert "failing" in by_id[2]["failure"]["traceback"]
    assert by_id[3]["answer"] == {"counted": 0}


def test_a_request_of_an_unknown_kind_is_refused(tmp_path):
    made, log = service(tmp_path)
    ask(made, 1, "fly")
    finish(made)
    assert "does not know" in log[0]["failure"]["text"]


def test_values_are_kept_until_they_are_dropped():
    kept = Kept()
    number = kept.keep("a volume")
    assert kept.value(number, str) == "a volume"
    with pytest.raises(LookupError, match="no int number"):
        kept.value(number, int)
    kept.drop(number)
    kept.drop(number)
    with pytest.raises(LookupError, match=f"no str number {number}"):
        kept.value(number, str)
    assert kept.keep("another") != number
