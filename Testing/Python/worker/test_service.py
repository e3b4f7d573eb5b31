"""Requests are done in their haste, also in the pauses of others, and errors arrive as what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xrayreg.checks import InputError
from xrayreg.worker.arrays import ArrayFolder
from xrayreg.worker.service import Cancelled, Handler, Haste, Kept, Room, Service


def counting(room: Room, content: Any, on_news: Any) -> Any:
    """News for each number below `content["to"]`."""
    for number in range(content["to"]):
        on_news({"number": number})
    return {"counted": content["to"]}


def failing(room: Room, content: Any, on_news: Any) -> Any:
    on_news(None)
    if content["input"]:
        raise InputError("CT", expected="an image", found="none", remedy="load it again")
    raise ZeroDivisionError("division by zero")


class Log(list):  # type: ignore[type-arg]
    """What was sent, and what tasks did."""


def service(tmp_path: Any, arriving: tuple[dict[str, Any], ...] = ()) -> tuple[Service, Log]:
    """A service, and its log; what is `arriving` arrives a message in each pause."""
    log, left = Log(), list(arriving)

    def listen() -> None:
        if left:
            made.receive(left.pop(0))

    def stubborn(room: Room, content: Any, on_news: Callable[[Any], object]) -> Any:
        """Goes on after every exception, as careless code may."""
        try:
            while True:
                try:
                    on_news(None)
                except Exception:
                    log.append("went on")
        except Cancelled:
            log.append("closed")
            raise

    handlers = {
        "count": Handler(counting, Haste.LONG), "short": Handler(counting), "hand": Handler(counting, Haste.HAND),
        "fail": Handler(failing), "close": Handler(stubborn, Haste.LONG),
    }  # fmt: skip
    made = Service(Room(ArrayFolder(tmp_path, "w")), handlers, log.append, listen)
    return made, log


def finish(made: Service) -> None:
    while made.busy:
        made.advance()


def request(identifier: int, kind: str, **content: Any) -> dict[str, Any]:
    return {"id": identifier, "kind": kind, "content": content}


def ask(made: Service, identifier: int, kind: str, **content: Any) -> None:
    made.receive(request(identifier, kind, **content))


def test_a_request_brings_its_news_and_then_its_answer(tmp_path):
    made, log = service(tmp_path)
    ask(made, 3, "count", to=2)
    finish(made)
    assert log == [
        {"id": 3, "news": {"number": 0}}, {"id": 3, "news": {"number": 1}}, {"id": 3, "answer": {"counted": 2}}
    ]  # fmt: skip


def test_requests_in_equal_haste_are_done_one_after_the_other(tmp_path):
    made, log = service(tmp_path, (request(2, "count", to=1),))
    ask(made, 1, "count", to=2)
    finish(made)
    assert [each["id"] for each in log] == [1, 1, 1, 2, 2]


def test_those_in_more_haste_are_done_first(tmp_path):
    made, log = service(tmp_path)
    for number, kind in enumerate(("count", "short", "hand", "short")):
        ask(made, number, kind, to=0)
    finish(made)
    assert [each["id"] for each in log] == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("kind", "other", "order"),
    [("count", "short", [1, 2, 2, 1, 1]), ("count", "hand", [1, 2, 2, 1, 1]), ("short", "hand", [1, 2, 2, 1, 1]),
     ("short", "count", [1, 1, 1, 2, 2]), ("hand", "hand", [1, 1, 1, 2, 2])],
)  # fmt: skip
def test_a_pause_is_for_those_in_more_haste_alone(tmp_path, kind, other, order):
    made, log = service(tmp_path, (request(2, other, to=1),))
    ask(made, 1, kind, to=2)
    finish(made)
    assert [each["id"] for each in log] == order


def test_a_hand_does_not_wait_for_what_is_done_in_a_pause(tmp_path):
    made, log = service(tmp_path, (request(2, "short", to=2), request(3, "hand", to=0)))
    ask(made, 1, "count", to=1)
    finish(made)
    assert [each["id"] for each in log] == [1, 2, 3, 2, 2, 1]


def test_what_is_cancelled_ends_at_its_next_pause_and_says_so_once(tmp_path):
    made, log = service(tmp_path, ({"drop": []}, {"cancel": 5}, {"cancel": 5}))
    ask(made, 5, "close")
    finish(made)
    assert log == ["closed", {"id": 5, "ended": True}]


def test_what_is_cancelled_before_it_begins_is_never_done(tmp_path):
    made, log = service(tmp_path)
    ask(made, 5, "count", to=3)
    made.receive({"cancel": 5})
    made.receive({"cancel": 5})
    assert log == [{"id": 5, "ended": True}] and not made.busy


def test_cancelling_one_leaves_the_one_it_interrupts_alone(tmp_path):
    made, log = service(tmp_path, (request(2, "short", to=9), {"cancel": 2}))
    ask(made, 1, "count", to=2)
    finish(made)
    assert {"id": 2, "ended": True} in log and log[-1] == {"id": 1, "answer": {"counted": 2}}


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
