"""Public tag templates: facts about them, without their code, and how each ran in Twite."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import msgspec


class PublicTemplate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template at one commit. `needs` are its permissions.

    `tests` counts the template's own tests, and `passed` those that passed. `tried` is the verdict
    of the fake vendor in `twite tag try`, if Twite can imitate the template's vendor.
    """

    name: str
    kind: str
    repository: str
    path: str
    commit: str
    sha256: str
    needs: tuple[str, ...] = ()
    tests: int = 0
    passed: int = 0
    tried: str = ""


@cache
def public_templates() -> tuple[PublicTemplate, ...]:
    content = Path(__file__).with_name("public_templates.json").read_bytes()
    return tuple(sorted(_MANY.decode(content), key=lambda known: known.name.lower()))


def named_like(word: str) -> tuple[PublicTemplate, ...]:
    lower = word.lower()
    return tuple(
        known
        for known in public_templates()
        if lower in known.name.lower() or lower in known.repository.lower()
    )


def with_content(content: bytes) -> PublicTemplate | None:
    """Return the template whose file has exactly this content."""
    digest = hashlib.sha256(content).hexdigest()
    return next((known for known in public_templates() if known.sha256 == digest), None)


_MANY: Final = msgspec.json.Decoder(list[PublicTemplate])
