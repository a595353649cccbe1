"""The plan of one tag's run needs no other tags of the container."""

from container_parts import container, planned, tag

from twite.tags.container.parts import SequencedTag
from twite.tags.container.plan import PendingTriggers, only


def beside(name):
    return SequencedTag(tag=name, needed=True)


def test_only_the_tag_and_its_setup_and_cleanup_tags_are_evaluated():
    made = container(
        tag("Other"),
        tag("Main", setup=beside("Before"), teardown=beside("After"), triggers=("gone",)),
        tag("After"),
        tag("Before", setup=beside("First")),
        tag("First", setup=beside("Main")),
    )

    alone = only(made, "Main")

    assert sorted(each.name for each in alone.tags) == ["After", "Before", "First", "Main"]
    assert [each.triggers for each in alone.tags if each.name != "Main"] == [(), (), ()]


def test_tag_runs_with_its_setup_tag_whatever_its_triggers():
    made = container(
        tag("Main", setup=beside("Before"), triggers=("gone",)), tag("Before"), tag("Other")
    )

    (fired,) = planned(only(made, "Main")).fired

    assert (fired.tag.name, fired.setup.tag.name) == ("Main", "Before")


def test_pending_triggers_decide_only_about_their_tag():
    made = container(tag("Main"), tag("Other"))

    decided = planned(only(made, "Main", PendingTriggers(triggers=("gone",))))

    assert [(passed.tag, passed.why) for passed in decided.passed] == [
        ("Main", "none of its triggers matches")
    ]
