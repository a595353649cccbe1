"""`templateDataStorage`: the items each template stores, in memory until the process ends."""

from typing import Final

import msgspec

from twite.domain.json_tree import Tree
from twite.gtm.template.effects import Forget, Keep
from twite.gtm.template.template import Template

MOST_BYTES: Final = 1024 * 1024  # of one template's items, as JSON


class TemplateStorage:
    """The storage of all templates. A template's runs share its items."""

    def __init__(self, *, most: int = MOST_BYTES) -> None:
        self._most = most
        self._kept: dict[int, tuple[Template, dict[str, Tree]]] = {}
        self._sizes: dict[int, dict[str, int]] = {}

    def of(self, template: Template) -> dict[str, Tree]:
        """Return a template's items, for one turn."""
        found = self._kept.get(id(template))
        return {} if found is None else dict(found[1])

    def change(self, template: Template, effect: Keep | Forget) -> bool:
        """Store or delete an item; return False if there is no room."""
        _, items = self._kept.setdefault(id(template), (template, {}))
        sizes = self._sizes.setdefault(id(template), {})
        if isinstance(effect, Forget):
            items.clear()
            sizes.clear()
            return True
        if effect.value is None:
            items.pop(effect.key, None)
            sizes.pop(effect.key, None)
            return True
        size = len(effect.key) + len(msgspec.json.encode(effect.value))
        if sum(sizes.values()) - sizes.get(effect.key, 0) + size > self._most:
            return False
        items[effect.key] = effect.value
        sizes[effect.key] = size
        return True
