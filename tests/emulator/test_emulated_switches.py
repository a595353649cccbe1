"""Configuration and state of the emulator, and its errors."""

import pytest
from x_requests import a_judge

from twite_emulator.exchange import EmulatorInputError
from twite_emulator.switches import QUESTIONS, Switches, changed, parsed
from twite_emulator.world import World


def test_every_switch_states_its_question_in_the_order_of_the_fields():
    assert tuple(QUESTIONS) == Switches.__struct_fields__


def test_switch_in_text_form_is_parsed_by_its_type():
    switches = parsed(["strict_time=on", "checks=false", "rate_limit=5", "max_age = 1.5"])

    expected = Switches(strict_time=True, checks=False, rate_limit=5, max_age=1.5)
    assert switches == expected


def test_switch_in_json_form_is_accepted():
    assert changed(Switches(), {"strict_time": True}) == Switches(strict_time=True)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("strict_tine=on", "There is no switch 'strict_tine'; did you mean 'strict_time'?"),
        ("zzz=on", "There is no switch 'zzz'"),
        ("strict_time", "as key=value"),
        ("strict_time=maybe", "does not fit"),
        ("rate_limit=-1", "does not fit"),
        ("dedup_scope=everything", "does not fit"),
    ],
)
def test_misspelt_switch_suggests_the_nearest_name(pair, words):
    with pytest.raises(EmulatorInputError, match=words):
        parsed([pair])


def test_added_account_pixel_or_event_is_usable_at_once():
    world = World()

    world.merge(
        {
            "accounts": [{"id": "abc"}],
            "pixels": [{"id": "p1", "account": "abc", "token": "t"}],
            "events": [{"id": "e1", "pixel": "p1"}],
        }
    )

    assert world.account_of(world.events["e1"]) == "abc"


def test_change_of_an_entry_keeps_the_other_fields():
    world = World()

    world.merge({"pixels": [{"id": "o8z6j", "token": "new"}]})

    pixel = world.pixels["o8z6j"]
    assert (pixel.account, pixel.token) == ("18ce54d4x5t", "new")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"pixel": []}, "not under 'pixel'"),
        ({"pixels": {}}, "not under 'pixels'"),
        ({"pixels": ["p1"]}, "needs the string 'id'"),
        ({"pixels": [{"id": "p1"}]}, "pixels 'p1'.*account"),
        ({"pixels": [{"id": "p1", "account": "nobody"}]}, "'nobody' is not one of the accounts"),
        ({"pixels": [{"id": "o8z6j", "tokn": "x"}]}, "unknown field `tokn`"),
        ({"users": [{"id": "1", "roles": {"a": ["KING"]}}]}, "users '1'"),
    ],
)
def test_invalid_entry_changes_nothing(document, words):
    world = World()
    before = world.document()

    with pytest.raises(EmulatorInputError, match=words):
        world.merge({"accounts": [{"id": "abc"}], **document})

    assert world.document() == before


def test_reset_restores_the_initial_accounts_and_switches():
    judge = a_judge("strict_time=on")
    judge.switches = changed(judge.switches, {"strict_time": False})
    judge.world.merge({"accounts": [{"id": "abc"}]})
    judge.faults.arm({"kind": "slow"})
    judge.shift = 5

    judge.reset()

    state = (judge.switches, "abc" in judge.world.accounts, judge.faults.armed, judge.shift)
    assert state == (Switches(strict_time=True), False, [], 0)


def test_new_ids_are_unused_and_in_base_36():
    world = World()

    ids = [world.fresh_id() for _ in range(50)]

    assert len({*ids, *world.events}) == 50 + len(world.events)
    assert all(id_.isalnum() and id_.islower() for id_ in ids)
