"""Which requests an injected fault affects."""

import re
from pathlib import Path

import pytest

from twite_emulator.exchange import EmulatorInputError
from twite_emulator.faults import DEFAULT_STATUS, FaultBoard, FaultKind

REFERENCE = (Path(__file__).parents[2] / "docs/reference/emulator.md").read_text("utf-8")


def hits(board, number, *, endpoint="conversions", pixel="o8z6j"):
    drawn = [board.draw(endpoint=endpoint, pixel=pixel) for _ in range(number)]
    return [None if fault is None else str(fault.kind) for fault in drawn]


def armed(*documents):
    board = FaultBoard()
    board.arm(list(documents))
    return board


def test_fault_affects_a_number_of_requests_after_skipping_some():
    board = armed({"kind": "status", "count": 2, "after": 1})

    assert hits(board, 5) == [None, "status", "status", None, None]


def test_endless_fault_affects_requests_until_it_is_cleared():
    board = armed({"kind": "slow", "count": 0})

    before = hits(board, 3)
    board.clear()

    assert (before, hits(board, 1)) == (["slow"] * 3, [None])


def test_faults_take_effect_in_the_order_they_were_added():
    board = armed({"kind": "status"}, {"kind": "slow"})

    assert hits(board, 3) == ["status", "slow", None]


def test_fault_of_one_pixel_does_not_affect_others():
    board = armed({"kind": "status", "pixel": "o8z6j"})

    assert (hits(board, 1, pixel="o6dkt"), hits(board, 1)) == ([None], ["status"])


def test_fault_affects_only_conversions_unless_set_to_any():
    board = armed({"kind": "status"}, {"kind": "slow", "on": "any"})

    assert hits(board, 1, endpoint="other", pixel=None) == ["slow"]


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "explode"},
        {"kind": "slow", "secnds": 1},
        {"kind": "slow", "seconds": -1},
        {"kind": "status", "status": 99},
        {"kind": "status", "count": -1},
        {"kind": "status", "headers": {"x": "a\r\nb"}},
        {},
        [5],
    ],
)
def test_invalid_fault_is_refused_and_not_added(document):
    board = FaultBoard()

    with pytest.raises(EmulatorInputError):
        board.arm(document)

    assert board.armed == []


def test_fault_kinds_are_documented():
    table = REFERENCE.partition("| kind | effect |")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(FaultKind)
    assert set(DEFAULT_STATUS) < set(FaultKind)


@pytest.mark.parametrize(
    ("meant", "hit", "passed"),
    [
        ({"event": "o8z6m"}, b'{"conversions":[{"event_id":"o8z6m"}]}', b'{"conversions":[]}'),
        ({"event": "o8z6m"}, b'{"conversions":[{"event_id":"o8z6m"}]}', b"no JSON o8z6m"),
        ({"holding": "poison"}, b"there is poison in it", b"there is none"),
        ({"over": 10}, b"x" * 11, b"x" * 10),
    ],
)
def test_fault_can_be_limited_to_a_conversion_event_or_size(meant, hit, passed):
    board = FaultBoard()
    board.arm({"kind": "status", "status": 403, "count": 0} | meant)

    assert board.draw(endpoint="conversions", pixel="p", body=passed) is None
    assert board.draw(endpoint="conversions", pixel="p", body=hit) is not None
