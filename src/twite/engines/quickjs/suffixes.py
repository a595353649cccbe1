"""The Public Suffix List, by top-level domain, in the sandbox's format: " rule rule … ".

Rules of one label are left out: the list's default rule covers them. Private rules, as
`myshopify.com`, count: a cookie must not be set above a shop of such a platform.
"""

from functools import cache
from importlib.resources import files

import msgspec


@cache
def suffixes() -> msgspec.Raw:
    """Return the rules as JSON, `{"uk": " co.uk … "}`."""
    found: dict[str, list[str]] = {}
    text = (files("publicsuffixlist") / "public_suffix_list.dat").read_text("utf-8")
    for line in text.splitlines():
        rule = line.split("//")[0].strip()
        if rule.count(".") < 1:
            continue
        labels = rule.removeprefix("!").split(".")
        ascii_rule = ".".join(label if label == "*" else _ascii(label) for label in labels)
        mark = "!" if rule.startswith("!") else ""
        found.setdefault(_ascii(labels[-1]), []).append(mark + ascii_rule)
    return msgspec.Raw(
        msgspec.json.encode({top: f" {' '.join(rules)} " for top, rules in found.items()})
    )


def _ascii(label: str) -> str:
    return label if label.isascii() else label.encode("idna").decode("ascii")
