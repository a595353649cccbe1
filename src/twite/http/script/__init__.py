"""Serve and minify the first-party script: readable source, shortened without a build step."""

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice, product
from pathlib import Path
from string import ascii_letters
from types import MappingProxyType
from typing import Final

import msgspec
import rjsmin
import zstandard

from twite.domain.destination import Destination, Source
from twite.http.responses import HttpRefusal, HttpResponse, error

# Strings, and regular expressions where they are allowed: their text stays unchanged.
_LITERAL: Final = (
    r"'[^'\n]*'|\"[^\"\n]*\""
    r"|(?<=[(=,:|&!\[>?;{}])/(?:\\.|\[[^\]\n]*\]|[^/\\\n\[])+/[a-z]*"
)
_DECLARED: Final = re.compile(r"\b(?:const|let) (\w+)|\(([\w,]*)\)=>|\.\.\.(\w+)\)=>")
# A property name in an object, and an identifier.
_WORD: Final = re.compile(rf"{_LITERAL}|(?<=[{{,])\w+:|(?<!\w)(?<!(?<!\.\.)\.)\w+")
_CONSTANT: Final = re.compile(rf"(const ([A-Z]+)=(\d[\de]*|{_LITERAL});)")
_OUTERMOST: Final = re.compile(r"(?:const|let) (\w+)")
# Brackets, and the places where a statement may end.
_END: Final = re.compile(rf"{_LITERAL}|[({{\[]|[)}}\]]|[;\n]")
# A declaration, a boolean, space around the end of a block, and the only parameter of an arrow
# function.
_LOOSE: Final = re.compile(
    rf"({_LITERAL})|\b(?:const|true|false|undefined)\b|;(?=\}})|(?<=\}})\n|(?<!\w)\((\w+)\)(?==>)"
)
_SHORTER: Final = {"const": "let", "true": "!0", "false": "!1", "undefined": "void 0"}
# Brackets, and the places where a declaration or another statement may begin.
_STEP: Final = re.compile(rf"{_LITERAL}|[({{\[]|[)}}\]]|;?\blet |;")
_KEYWORDS: Final = frozenset({"as", "do", "if", "in", "is", "of"})


def script() -> str:
    """Return the minified script: without comments and spaces, with short names."""
    written = Path(__file__).with_name("twite.js").read_text("utf-8")
    plain = str(rjsmin.jsmin(written)).strip()
    plain = inlined(plain)
    # The script is one function, whose parameters are already short.
    start, end = plain.index("{") + 1, plain.rindex("}")
    short = f"{plain[:start]}{shortened(plain[start:end])}{plain[end:]}"
    return joined(tightened(short)) + "\n"


def shortened(text: str) -> str:
    """Give variables and parameters short names.

    `text` has no spaces, no template strings, no destructuring and no `{a}` for `{a:a}`. Each
    global name gets one short name, the most used the shortest; names that shadow it get the same.
    Local names are reused in every statement, in order of use, because repetition compresses best.
    New names consist of the letters that are most frequent in the script.
    """
    statements = _statements(text)
    shared = {found[1] for found in map(_OUTERMOST.match, statements) if found}
    own = [_own_names(statement, shared) for statement in statements]
    uses = Counter(_WORD.findall(text))
    declared = shared.union(*own)
    stays = _WORD.sub(lambda match: "" if match[0] in declared else match[0], text)
    letters = "".join(sorted(ascii_letters, key=lambda letter: (-stays.count(letter), letter)))
    names = _short_names(letters, uses.keys() - declared)
    few = list(islice(names, max(map(len, own))))
    order = sorted(shared & uses.keys(), key=lambda name: (-uses[name], name))
    short = dict(zip(order, names, strict=False))
    return "".join(
        _renamed(statement, {**short, **dict(zip(mine, few, strict=False))})
        for statement, mine in zip(statements, own, strict=True)
    )


def inlined(text: str) -> str:
    """Inline constants in capitals: numbers, and values used once."""
    for declaration, name, value in _CONSTANT.findall(text):
        rest = text.replace(declaration, "")
        uses = re.compile(rf"\b{name}\b")
        if value[0].isdigit() or len(uses.findall(rest)) == 1:
            text = uses.sub(value.replace("\\", r"\\"), rest)
    return text


def tightened(text: str) -> str:
    """Remove redundant syntax, and use shorter spellings.

    `text` never assigns to a constant, and has no empty statement; each ends with a semicolon or a
    block. A single kind of quotation mark compresses best: the one in the settings.
    """

    def shorter(match: re.Match[str]) -> str:
        literal = match[1]
        if literal and literal[0] == "'" and '"' not in literal:
            return f'"{literal[1:-1]}"'
        return literal or match[2] or _SHORTER.get(match[0], "")

    return _LOOSE.sub(shorter, text)


def joined(text: str) -> str:
    """Merge adjacent declarations: `let a=1;let b=2;` becomes `let a=1,b=2;`."""
    declaring = [False]

    def step(match: re.Match[str]) -> str:
        sign = match[0]
        if sign in "([{":
            declaring.append(False)
        elif sign in ")]}":
            declaring.pop()
        elif sign == ";":
            declaring[-1] = False
        elif sign.endswith("let "):
            sign = "," if sign[0] == ";" and declaring[-1] else sign
            declaring[-1] = True
        return sign

    return _STEP.sub(step, text)


def _statements(text: str) -> list[str]:
    """Split at the ends of outermost statements."""
    found, depth, start = list[str](), 0, 0
    for sign in _END.finditer(text):
        if sign[0] in "([{":
            depth += 1
        elif sign[0] in ")]}":
            depth -= 1
        elif sign[0] in ";\n" and not depth:
            found.append(text[start : sign.end()])
            start = sign.end()
    return [*found, text[start:]]


def _own_names(statement: str, shared: AbstractSet[str]) -> list[str]:
    """Return the names local to a statement, in order of use."""
    code = re.sub(_LITERAL, "''", statement)
    declared = {
        name for found in _DECLARED.findall(code) for name in re.findall(r"\w+", " ".join(found))
    }
    used = dict.fromkeys(_WORD.findall(statement))
    return [name for name in used if name in declared - shared]


def _renamed(statement: str, short: Mapping[str, str]) -> str:
    return _WORD.sub(lambda match: short.get(match[0], match[0]), statement)


def _short_names(letters: str, taken: set[str]) -> Iterator[str]:
    for length in (1, 2):
        for chosen in product(letters, repeat=length):
            name = "".join(chosen)
            if name not in taken and name not in _KEYWORDS:
                yield name


PATH: Final = "/twite.js"
PREFIX: Final = "/twite."

# Defaults of the script's settings.
DEFAULTS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "opt_out": "suppress",
        "pixel": "use",
        "phone": None,
        "cookie_days": 90,
        "http_only": False,
    }
)

_HASH_DIGITS: Final = 16
_FIVE_MINUTES: Final = (b"cache-control", b"public, max-age=300")
_FOR_EVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")
_ALWAYS: Final = (
    (b"content-type", b"text/javascript; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
    # Subresource Integrity needs the first, cross-origin isolated pages the second.
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"vary", b"Accept-Encoding"),
)
# Characters that JSON allows and inline JavaScript does not.
_UNSAFE: Final = {ord("<"): "\\u003c", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class ServedScript(msgspec.Struct, frozen=True, kw_only=True):
    """One script in every served encoding, by encoding name; "" is uncompressed."""

    bodies: Mapping[bytes, bytes]
    tag: bytes
    kept: tuple[bytes, bytes]

    def answer(self, headers: Mapping[bytes, bytes]) -> HttpResponse:
        """Return the best encoding that the browser accepts, or 304 if its copy is current."""
        name = _best(headers.get(b"accept-encoding", b""))
        tag = b'"%b%b"' % (self.tag, b"-" + name if name else b"")
        fixed = (*_ALWAYS, self.kept, (b"etag", tag))
        if tag in _tags(headers.get(b"if-none-match", b"")):
            return HttpResponse(status=304, body=b"", headers=fixed)
        encoding = ((b"content-encoding", name),) if name else ()
        return HttpResponse(status=200, body=self.bodies[name], headers=(*fixed, *encoding))


class PageScript:
    """The script's route. `read` returns the minified script, and is called only once."""

    def __init__(
        self,
        *,
        source_named: Callable[[str], Source | None],
        destinations: Mapping[str, Destination],
        read: Callable[[], str] | None = None,
    ) -> None:
        self._source_named = source_named
        self._destinations = destinations
        self._read = read or script
        self._alone: tuple[str, bytes] | None = None
        self._served: dict[str, ServedScript] = {}

    @property
    def path(self) -> str:
        """The versioned address: its content never changes."""
        name, _ = self._script()
        return f"{PREFIX}{name}.js"

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[bytes, bytes]
    ) -> HttpResponse:
        """Answer with the script. Raises HttpRefusal (404). The server sends no body for HEAD."""
        if path == PATH:
            return self._of_source(query.get("s", "")).answer(headers)
        if path == self.path:
            return self._by_itself().answer(headers)
        raise HttpRefusal(_OTHER_HASH)

    def _of_source(self, name: str) -> ServedScript:
        source = self._source_named(name)
        if source is None:
            raise HttpRefusal(_NO_SOURCE)
        if name not in self._served:
            _, script = self._script()
            line = settings_line(source, self._destinations[source.pixel])
            self._served[name] = _served(line.encode() + b"\n" + script, _FIVE_MINUTES)
        return self._served[name]

    def _by_itself(self) -> ServedScript:
        # No source has an empty name.
        if "" not in self._served:
            self._served[""] = _served(self._script()[1], _FOR_EVER)
        return self._served[""]

    def _script(self) -> tuple[str, bytes]:
        """Return the hash, and the script."""
        if self._alone is None:
            body = self._read().encode()
            self._alone = hashlib.sha256(body).hexdigest()[:_HASH_DIGITS], body
        return self._alone


def settings_line(source: Source, destination: Destination) -> str:
    """Return the settings of a source for the script, as one line of JavaScript.

    Settings equal to the script's defaults are omitted.
    """
    pixel = destination.pixel
    fields = {
        "source": source.name,
        "pixel_id": pixel,
        "events": {
            name: f"tw-{pixel}-{event}"
            for name, event in destination.events.items()
            # Events that X's pixel captures itself have no id with which a page could call them.
            if not event.startswith("gtm_")
        },
        "consent": "required" if source.consent.required else "optional",
        "opt_out": source.consent.us_opt_out.value,
        "pixel": source.twin,
        "phone": _phone(source.region),
        "cookie_days": source.cookie.days,
        "http_only": source.cookie.http_only,
    }
    kept = {name: value for name, value in fields.items() if value != DEFAULTS.get(name, ...)}
    text = msgspec.json.encode(kept).decode().translate(_UNSAFE)
    return f"self.twiteSettings={text};"


def _phone(region: str | None) -> list[str] | None:
    """Return the country code, and the prefix of national numbers that E.164 omits."""
    if region is None:
        return None
    # Imported on use: the import takes as long as the rest of a short command.
    from phonenumbers import country_code_for_region, ndd_prefix_for_region  # noqa: PLC0415

    prefix = ndd_prefix_for_region(region, strip_non_digits=True)
    return [str(country_code_for_region(region)), prefix or ""]


def _served(body: bytes, kept: tuple[bytes, bytes]) -> ServedScript:
    return ServedScript(
        bodies={
            b"": body,
            b"gzip": gzip.compress(body, 9, mtime=0),
            b"zstd": zstandard.ZstdCompressor(level=19).compress(body),
        },
        tag=hashlib.sha256(body).hexdigest()[:_HASH_DIGITS].encode(),
        kept=kept,
    )


def _best(accepted: bytes) -> bytes:
    """Return zstd or gzip if the browser accepts it, else nothing. RFC 9110, 12.5.3."""
    taken = set()
    for offer in accepted.lower().split(b","):
        name, _, weight = offer.partition(b";")
        if weight.replace(b" ", b"") not in {b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"}:
            taken.add(name.strip())
    return next((name for name in (b"zstd", b"gzip") if name in taken), b"")


def _tags(etags: bytes) -> set[bytes]:
    """RFC 9110, 13.1.2: compared weakly. A `*` has no meaning for GET."""
    return {tag.strip().removeprefix(b"W/") for tag in etags.split(b",")}


_NO_SOURCE: Final = error(
    404, "route", "s must be the name of a source that has origins: write /twite.js?s=<source>"
)
_OTHER_HASH: Final = error(
    404, "route", "no script has this address: the script's address changes with its content"
)
