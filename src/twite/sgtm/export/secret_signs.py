"""What looks like a secret: by the name of its place, by what the form says of it, by its look.

Too much rather than too little: what is taken out wrongly still runs, it only stands elsewhere.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from twite.sgtm.container.secrets import as_step
from twite.sgtm.fields import Field, flat
from twite.sgtm.tree import Tree


def secret_paths(
    fields: Mapping[str, Tree], forms: tuple[Field, ...], named: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of what looks like a secret in fields, as `rows.0.value`.

    `forms` are the template's fields, `named` the names that a person gave.
    """
    told = {one.name: f"{one.name} {one.shown} {one.hint}" for one in flat(forms)}
    for name, tree in fields.items():
        suspect = name in named or speaks_of_secret(told.get(name, name))
        yield from _in_tree(tree, as_step(name), suspect=suspect, named=named)


def speaks_of_secret(name: str) -> bool:
    """Say whether a name or label promises a secret, as `apiAccessToken` and `API key`."""
    words = [one.lower() for one in _WORDS.findall(name)]
    pairs = {"".join(pair) for pair in pairwise(words)}
    return bool(_ALONE & set(words) or _PAIRS & (pairs | set(words)))


def looks_secret(text: str) -> bool:
    """Say whether a text itself looks like one: long, mixed, and in no language."""
    if "{{" in text or len(text) > _LONGEST:
        return False
    if "://" in text:
        return bool(_WITH_LOGIN.search(text)) or any(
            speaks_of_secret(name) and value for name, value in _IN_QUERY.findall(text)
        )
    bare = _SCHEME.sub("", text)
    if _PREFIXED.match(bare):
        return True
    if not _CODE.fullmatch(bare) or _UUID.fullmatch(bare) or bare.isdigit():
        return False
    mixed = any(c.isdigit() for c in bare) and any(c.isalpha() for c in bare)
    return mixed and len(bare) >= _SHORTEST and _entropy(bare) >= _LEAST_ENTROPY


def _in_tree(
    tree: Tree, path: str, *, suspect: bool, named: frozenset[str]
) -> Iterator[tuple[str, str]]:
    if isinstance(tree, str):
        if tree and "{{" not in tree and (suspect or looks_secret(tree)):
            yield path, tree
    elif isinstance(tree, list):
        for at, one in enumerate(tree):
            yield from _in_tree(one, f"{path}.{at}", suspect=suspect, named=named)
    elif isinstance(tree, dict):
        # In a row of name and value, the name says what the value is.
        label = next((v for k, v in tree.items() if k in _NAMES and isinstance(v, str)), "")
        told = speaks_of_secret(label) or label in named
        for key, one in tree.items():
            here = key in named or speaks_of_secret(key) or (told and key not in _NAMES)
            yield from _in_tree(one, f"{path}.{as_step(key)}", suspect=here, named=named)


def _entropy(text: str) -> float:
    counts = Counter(text).values()
    return -sum(one / len(text) * math.log2(one / len(text)) for one in counts)


_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ALONE: Final = frozenset(
    {"token", "tokens", "secret", "password", "passwd", "pwd", "bearer", "credential"}
    | {"credentials", "authorization", "passphrase", "apikey"}
)
_PAIRS: Final = frozenset(
    {"apikey", "accesskey", "privatekey", "authkey", "secretkey", "sharedkey", "signingkey"}
    | {"consumerkey", "licensekey", "writekey", "serverkey", "clientkey", "hmackey"}
)
_NAMES: Final = frozenset({"name", "key", "header", "headerName", "paramName", "field"})
_LONGEST: Final = 20_000
_SHORTEST: Final = 24
_LEAST_ENTROPY: Final = 3.3
_CODE: Final = re.compile(r"[A-Za-z0-9+/_=.~|-]+", re.ASCII)
_SCHEME: Final = re.compile(r"^(?:Bearer|Basic|Token) +", re.IGNORECASE)
_PREFIXED: Final = re.compile(
    r"EAA[A-Za-z0-9]{20}|eyJ[A-Za-z0-9_-]{10}|(?:sk|pk|rk)_(?:live|test)_"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WITH_LOGIN: Final = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")
_IN_QUERY: Final = re.compile(r"[?&]([^=&#]+)=([^&#]*)")
