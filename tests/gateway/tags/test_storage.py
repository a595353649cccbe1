"""`templateDataStorage`: a template's data is limited, and removed items make room."""

from pathlib import Path

import msgspec

from twite.gateway.tags.runtime.engine_pool import TemplateStorage
from twite.gtm.template.effects import Forget, Keep
from twite.gtm.template.template import read_template

TEMPLATE = read_template((Path(__file__).parents[2] / "templates/crm_post.tpl").read_bytes())
OTHER = msgspec.structs.replace(TEMPLATE, name="Another")


def keep(key, size):
    """It has `size` bytes including quotes, without its key."""
    return Keep(key=key, value="x" * (size - 2))


def test_more_than_there_is_room_for_is_refused_and_what_was_kept_stays():
    storage = TemplateStorage(most=100)

    taken = [storage.change(TEMPLATE, keep(key, size)) for key, size in (("a", 60), ("b", 40))]

    assert taken == [True, False]
    assert list(storage.of(TEMPLATE)) == ["a"]


def test_the_last_byte_may_be_used():
    assert TemplateStorage(most=100).change(TEMPLATE, keep("a", 99))
    assert not TemplateStorage(most=100).change(TEMPLATE, keep("a", 100))


def test_what_takes_the_place_of_another_counts_without_it():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 60))

    assert storage.change(TEMPLATE, keep("a", 90))


def test_what_is_forgotten_makes_room():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 60))

    storage.change(TEMPLATE, Keep(key="a", value=None))
    again = storage.change(TEMPLATE, keep("b", 60))
    storage.change(TEMPLATE, Forget())

    assert again
    assert storage.change(TEMPLATE, keep("c", 90))
    assert list(storage.of(TEMPLATE)) == ["c"]


def test_each_template_has_a_room_of_its_own():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 90))

    assert storage.change(OTHER, keep("a", 90))


def test_what_a_run_was_given_does_not_change_with_what_is_kept_later():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 20))
    given = storage.of(TEMPLATE)

    storage.change(TEMPLATE, Forget())

    assert list(given) == ["a"]
