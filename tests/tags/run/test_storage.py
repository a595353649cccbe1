"""`templateDataStorage`: a template's data is limited, and removed items make room."""

from pathlib import Path

import msgspec

from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.template.effects import Forget, Keep
from twite.tags.template.template import read_template

TEMPLATE = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())
OTHER = msgspec.structs.replace(TEMPLATE, name="Another")


def keep(key, size):
    """Return an item of `size` bytes: its quotes count, its key does not."""
    return Keep(key=key, value="x" * (size - 2))


def test_item_beyond_the_capacity_is_refused_and_the_others_stay():
    storage = TemplateStorage(most=100)

    taken = [storage.change(TEMPLATE, keep(key, size)) for key, size in (("a", 60), ("b", 40))]

    assert taken == [True, False]
    assert list(storage.of(TEMPLATE)) == ["a"]


def test_last_byte_of_the_capacity_can_be_used():
    assert TemplateStorage(most=100).change(TEMPLATE, keep("a", 99))
    assert not TemplateStorage(most=100).change(TEMPLATE, keep("a", 100))


def test_replaced_item_does_not_count():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 60))

    assert storage.change(TEMPLATE, keep("a", 90))


def test_deleted_item_frees_its_space():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 60))

    storage.change(TEMPLATE, Keep(key="a", value=None))
    again = storage.change(TEMPLATE, keep("b", 60))
    storage.change(TEMPLATE, Forget())

    assert again
    assert storage.change(TEMPLATE, keep("c", 90))
    assert list(storage.of(TEMPLATE)) == ["c"]


def test_each_template_has_its_own_capacity():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 90))

    assert storage.change(OTHER, keep("a", 90))


def test_items_given_to_a_run_do_not_change_later():
    storage = TemplateStorage(most=100)
    storage.change(TEMPLATE, keep("a", 20))
    given = storage.of(TEMPLATE)

    storage.change(TEMPLATE, Forget())

    assert list(given) == ["a"]
