"""Serve the first-party script."""

import gzip
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import zstandard

from twite.domain.destination import Destination, Source
from twite.domain.fault import CODES
from twite.domain.fixes import fix_of
from twite.domain.test_mode import real_name
from twite.http.responses import HttpRefusal, HttpResponse, error

PATH: Final = "/twite.js"
BEACON_PATH: Final = "/t"
PREFIX: Final = "/twite."
DEBUGGER_PATH: Final = f"{PREFIX}debug.js"

# Defaults of the script's settings.
DEFAULTS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "opt_out": "suppress",
        "pixel": "use",
        "phone": None,
        "cookie_days": 90,
        "http_only": False,
        "beacon": "t",
        "click_ids": None,
    }
)

_HASH_DIGITS: Final = 16
_FIVE_MINUTES: Final = (b"cache-control", b"public, max-age=300")
# A page on the developer's machine must get it, and no cache may give it to other pages.
_NEVER: Final = (b"cache-control", b"no-store")
_LOCAL_PAGE: Final = re.compile(rb"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(?:/|$)")
# The first call that the script gets, before those of the page.
_DEBUG_CALL: Final = (
    b"self.twite=self.twite||function(){(twite.q=twite.q||[]).push(arguments)};"
    b'(twite.q=twite.q||[]).unshift(["debug"]);\n'
)
_FOR_EVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")
_ALWAYS: Final = (
    (b"content-type", b"text/javascript; charset=utf-8"),
    # Subresource Integrity needs the first header, cross-origin isolated pages the second.
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"vary", b"Accept-Encoding"),
)
# Characters that JSON allows and inline JavaScript does not.
_UNSAFE: Final = {ord("<"): "\\u003c", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_NO_SOURCE: Final = error(
    404, "route", "s must be the name of a source that has origins: write /twite.js?s=<source>"
)
_OTHER_HASH: Final = error(
    404, "route", "no script has this address: the script's address changes with its content"
)


class ServedScript(msgspec.Struct, frozen=True, kw_only=True):
    """A script in each available encoding, by the encoding's name; "" is uncompressed."""

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


def script() -> bytes:
    """Return the minified script, which `make generate` derives from twite.js."""
    return Path(__file__).with_name("twite.min.js").read_bytes()


class PageScript:
    """The script's route. The script is compressed once, with the first request."""

    def __init__(
        self,
        *,
        source_named: Callable[[str], Source | None],
        destinations: Mapping[str, Destination],
        beacon_path: str = BEACON_PATH,
    ) -> None:
        self._source_named = source_named
        self._beacon = beacon_path.removeprefix("/")
        self._destinations = destinations
        self._alone: tuple[str, bytes] | None = None
        self._served: dict[str, ServedScript] = {}

    @property
    def path(self) -> str:
        """The script's versioned path, whose content never changes."""
        name, _ = self._script()
        return f"{PREFIX}{name}.js"

    def answer(
        self, path: str, query: Mapping[str, str], headers: Mapping[bytes, bytes]
    ) -> HttpResponse:
        """Answer with the script. Raises HttpRefusal (404). The server sends no body for HEAD."""
        if path == PATH:
            is_debugged = "debug" in query or _LOCAL_PAGE.match(headers.get(b"referer", b""))
            name = query.get("s", "")
            return self._of_source(name, is_debugged=bool(is_debugged)).answer(headers)
        if path == DEBUGGER_PATH:
            return self._debugger().answer(headers)
        if path == self.path:
            return self._by_itself().answer(headers)
        raise HttpRefusal(_OTHER_HASH)

    def _of_source(self, name: str, *, is_debugged: bool) -> ServedScript:
        source = self._source_named(name)
        if source is None:
            raise HttpRefusal(_NO_SOURCE)
        name = source.name  # another one in test mode
        key = f"{name}?debug" if is_debugged else name  # no source has a "?" in its name
        if key not in self._served:
            _, script = self._script()
            line = settings_line(source, self._destinations[source.pixel], self._beacon).encode()
            if is_debugged:
                script = _DEBUG_CALL + script
            kept = _NEVER if is_debugged else _FIVE_MINUTES
            self._served[key] = _served(line + b"\n" + script, kept)
        return self._served[key]

    def _by_itself(self) -> ServedScript:
        # "" is free for the script without settings, because no source has an empty name.
        if "" not in self._served:
            self._served[""] = _served(self._script()[1], _FOR_EVER)
        return self._served[""]

    def _debugger(self) -> ServedScript:
        if DEBUGGER_PATH not in self._served:
            fixes = msgspec.json.encode({code: fix_of(code) for code in CODES})
            body = b"const FIXES=%b;\n" % fixes + Path(__file__).with_name("debug.js").read_bytes()
            self._served[DEBUGGER_PATH] = _served(body, _FIVE_MINUTES)
        return self._served[DEBUGGER_PATH]

    def _script(self) -> tuple[str, bytes]:
        if self._alone is None:
            body = script()
            self._alone = hashlib.sha256(body).hexdigest()[:_HASH_DIGITS], body
        return self._alone


def settings_line(source: Source, destination: Destination, beacon: str = "t") -> str:
    """Return the settings of a source for the script, as one line of JavaScript.

    Settings equal to the script's defaults are omitted.
    """
    pixel = destination.pixel
    fields = {
        "source": real_name(source.name),
        "pixel_id": pixel,
        "events": {
            name: f"tw-{pixel}-{event}"
            for name, event in destination.events.items()
            # X's pixel captures these events itself: they have no id that a page could use.
            if not event.startswith("gtm_")
        },
        "consent": "required" if source.consent.required else "optional",
        "opt_out": source.consent.us_opt_out.value,
        "pixel": source.x_pixel,
        "phone": _phone(source.region),
        "cookie_days": source.cookie.days,
        "http_only": source.cookie.http_only,
        "click_ids": source.keep_click_ids or None,
        "beacon": beacon,
    }
    kept = {name: value for name, value in fields.items() if value != DEFAULTS.get(name, ...)}
    return f"self.twiteSettings={msgspec.json.encode(kept).decode().translate(_UNSAFE)};"


def _phone(region: str | None) -> list[str] | None:
    """Return the country code, and the prefix of national numbers that E.164 omits."""
    if region is None:
        return None
    # Imported only here: the import takes as long as the rest of a short command.
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
    """Return the tags for a weak comparison (RFC 9110, 13.1.2). `*` is not supported."""
    return {tag.strip().removeprefix(b"W/") for tag in etags.split(b",")}
