"""The how-to page shows each preset as it is, and settings that the gateway reads."""

import re
import tomllib
from pathlib import Path

import pytest

from twite.formats.webhook_kinds import KINDS
from written import GOOD, read

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to/receive-generic-webhooks.md").read_text("utf-8")
PRESETS = [kind for kind in KINDS.values() if kind.preset]


@pytest.mark.parametrize("kind", PRESETS, ids=lambda kind: kind.name)
def test_page_shows_the_preset(kind):
    section = PAGE[PAGE.index(f'kind = "{kind.name}"') :]
    shown = section[section.index("The preset is:") :]

    assert tomllib.loads(_first_block(shown)) == kind.preset


@pytest.mark.parametrize(
    "block", [text for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[[w" in text]
)
def test_settings_of_the_page_are_read(tmp_path, block):
    text = GOOD.replace('sign_up = "tw', 'lead = "o8z6z", sign_up = "tw')
    crm = '[[source]]\nname = "crm"\nkey = "env:TWITE_SHOP_KEY_2"\npixel = "o8z6j"\n'
    names = re.findall(r'"env:(\w+)"', block)
    environ = dict.fromkeys(names, "whsec_c2VjcmV0LXNlY3JldA==")

    settings = read(
        tmp_path, text + crm + block, environ | {"TWITE_SHOP_KEY_2": "another-key-of-a-source"}
    )

    assert len(settings.webhooks) == 1


def _first_block(text):
    return re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1]
