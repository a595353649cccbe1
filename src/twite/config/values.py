"""Parse strings of the settings: addresses, durations, sizes, ids.

Each function receives the place of the value, and raises SettingsError with the mistake and the
fix.
"""

import ipaddress
import re
from decimal import Decimal
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from twite.domain.conversion import amount, currency
from twite.domain.errors import SettingsError
from twite.domain.fault import Fault
from twite.domain.loopback import is_own_name
from twite.domain.normalize import PHONE_REGIONS
from twite.domain.secret import Secret
from twite.domain.times import DAY, HOUR, MINUTE, SECOND

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNITS: Final = {"ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_SIZES: Final = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_PAGE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
# The first parts of the paths in the table of routes.
TAKEN_PATHS: Final = frozenset(
    {"11", "12", "beacon", "console", "data", "debug", "g", "healthz", "metrics", "mp", "readyz"}
    | {"segment", "sourceConfig", "stape-api", "v1", "webhooks"}
)
_DURATION: Final = re.compile(r"([0-9]{1,9}) ?(ms|s|m|h|d)", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?(|B|KIB|MIB|GIB|TIB)", re.ASCII | re.IGNORECASE)
_CONTAINER_HEADER: Final = re.compile(r"x-gtm-[a-z0-9-]{1,64}", re.ASCII)
_X_ID: Final = re.compile(r"[0-9a-z]{1,32}", re.ASCII)
_LONG_EVENT: Final = re.compile(r"tw-([0-9a-z]{1,32})-([0-9a-z]{1,32})", re.ASCII)
_NAMED_EVENT: Final = re.compile(r"gtm_[0-9a-z_]{1,96}", re.ASCII)
_LONGEST_NAME: Final = 64
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{1,31}", re.ASCII)
_WRITE_KEY: Final = re.compile(r"[0-9A-Za-z_.-]{1,64}", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_LAST_PORT: Final = 65_535
_HOST: Final = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]{0,251}[0-9A-Za-z])?", re.ASCII)


class HostPort(msgspec.Struct, frozen=True, kw_only=True):
    """A listening address. Port 0 is any free port; `host` has no brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address(text: str, place: str) -> HostPort:
    """Read `host:port`, IPv6 in brackets."""
    host, colon, port = text.rpartition(":")
    fix = 'Write the host and port, such as "127.0.0.1:8080" or "[::1]:8080"'
    if not colon or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        raise SettingsError(place, f"{text!r} has no valid port. {fix}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        good = _is_ip(host)
    else:
        good = _HOST.fullmatch(host) is not None
    if not good:
        raise SettingsError(place, f"{text!r} has no host. {fix}")
    return HostPort(host=host, port=int(port))


def local_address(text: str, place: str) -> HostPort:
    """Read an address that only this machine can reach: it must be on loopback."""
    local = address(text, place)
    if not local.port or not is_own_name(f"[{local.host}]" if ":" in local.host else local.host):
        raise SettingsError(
            place, 'must be a loopback address with its own port, such as "127.0.0.1:8081"'
        )
    return local


def page_path(text: str, place: str, *, suffix: str = "") -> str:
    """Read a path of one part that pages use, such as "/twite.js" (suffix ".js") or "/t".

    It may not be the path of another endpoint.
    """
    name = text.removeprefix("/").removesuffix(suffix)
    if text != f"/{name}{suffix}" or not _PAGE_NAME.fullmatch(name):
        raise SettingsError(
            place,
            f'{text!r} is not usable. Write "/", 1 to 40 letters, digits, "-" or "_"'
            + (f', and "{suffix}"' if suffix else ""),
        )
    if name in TAKEN_PATHS:
        raise SettingsError(place, f"{text!r} is the path of another endpoint. Choose another one")
    return text


def duration(text: str, place: str, *, least: int, most: int) -> int:
    """Read "500ms", "15s", "10m", "48h" or "7d" into milliseconds between two bounds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(
            place, f'{text!r} is not a duration. Write a whole number and ms, s, m, h or d: "15s"'
        )
    ms = int(match[1]) * _UNITS[match[2]]
    if not least <= ms <= most:
        raise SettingsError(
            place,
            f"{text!r} is out of range. Write {duration_text(least)} to {duration_text(most)}",
        )
    return ms


def duration_text(ms: int) -> str:
    """Format milliseconds in the largest unit that needs no fraction."""
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if ms % _UNITS[unit] == 0)
    return f"{ms // _UNITS[unit]}{unit}"


def size(text: str, place: str, *, least: int, most: int) -> int:
    """Read "65536", "512KiB" or "1MiB" into bytes between two bounds."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SettingsError(
            place,
            f'{text!r} is not a size. Write a whole number and B, KiB, MiB, GiB or TiB: "1MiB"',
        )
    amount = int(match[1]) * _SIZES[match[2].upper()]
    if not least <= amount <= most:
        raise SettingsError(
            place, f"{text!r} is out of range. Write {_size_text(least)} to {_size_text(most)}"
        )
    return amount


def _size_text(amount: int) -> str:
    """Format bytes in the largest unit that needs no fraction."""
    unit = next(
        unit for unit in ("TiB", "GiB", "MiB", "KiB", "B") if not amount % _SIZES[unit.upper()]
    )
    return f"{amount // _SIZES[unit.upper()]}{unit}"


def url(text: str, place: str) -> str:
    """Read an http or https base URL without a query; remove a trailing slash."""
    fix = 'Write a URL such as "https://t.shop.example"'
    parts = _split(text)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(place, f"not an http or https URL. {fix}")
    if parts.username is not None or parts.password is not None:
        raise SettingsError(place, f"the URL contains a user name or a password. {fix}")
    if parts.query or parts.fragment:
        raise SettingsError(
            place, f"{text!r} has a query or a fragment. Remove everything after the path"
        )
    return text.rstrip("/")


def https_url(text: str, place: str) -> str:
    """Read the console's URL. It must be HTTPS, because users send passwords to it."""
    read = url(text, place)
    if not read.startswith("https:"):
        raise SettingsError(
            place,
            "passwords would travel unencrypted. Write the HTTPS URL of your proxy; "
            "on this machine, the console is also available at localhost",
        )
    return read


def webhook(secret: Secret, place: str) -> None:
    """Check the URL of a webhook without showing it: the URL itself is a secret."""
    text = secret.reveal()
    parts = _split(text)
    fix = 'Write the full URL, such as "https://hooks.chat.example/T0/B0/x"'
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(place, f"not an http or https URL. {fix}")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise SettingsError(place, f"the URL contains a user name, a password or a fragment. {fix}")


def unprotected(address_of_x: str) -> bool:
    """Whether credentials would leave this machine unencrypted."""
    parts = urlsplit(address_of_x)
    host = parts.hostname or ""
    return (
        parts.scheme == "http"
        and host != "localhost"
        and not (_is_ip(host) and ipaddress.ip_address(host).is_loopback)
    )


def origin(text: str, place: str) -> str:
    """Read an origin as browsers send it: scheme, host, and any port that is not the default."""
    if text == "*":
        raise SettingsError(
            place,
            "'*' would let any web page send conversions. List each origin, such as "
            '"https://shop.example"',
        )
    parts = _split(text)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(
            place, f'{text!r} is not an origin. Write scheme and host: "https://shop.example"'
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    own_port = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, own_port} else f":{parts.port}"
    sent = f"{parts.scheme}://{host}{port}"
    if text != sent:
        raise SettingsError(place, f"{text!r} is not the form that browsers send. Write {sent!r}")
    return sent


def network(text: str, place: str) -> Network:
    """Read a network in CIDR notation, or a single address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(
            place,
            f"{text!r} is not a network. Write an address and a prefix length, "
            'such as "10.0.0.0/8" or "127.0.0.1/32"',
        ) from None
    raise SettingsError(
        place,
        f"{text!r} has bits set beyond its prefix. Write {str(meant)!r} for the "
        f"network, or {text.partition('/')[0]!r} for the single address",
    )


def container_header(text: str, place: str) -> str:
    """Read the name of an `x-gtm-…` header."""
    if not _CONTAINER_HEADER.fullmatch(text):
        raise SettingsError(
            place,
            f"{text!r} is not the name of an x-gtm header. Write it in lower case, "
            'such as "x-gtm-identifier"',
        )
    return text


def x_id(text: str, place: str, what: str) -> str:
    """Read an X id: digits and lower-case letters."""
    if _X_ID.fullmatch(text) is None:
        raise SettingsError(
            place,
            f"{text!r} is not {what}. X's ids consist of digits and lowercase "
            'letters, such as "o8z6j"; copy the id from Events Manager',
        )
    return text


def event_id(text: str, place: str, *, pixel: str) -> str:
    """Read an event id in either form and return it in base 36; accept a name with `gtm_`."""
    if _NAMED_EVENT.fullmatch(text) is not None:
        return text
    found = text
    long = _LONG_EVENT.fullmatch(text)
    if long is not None:
        if long[1] != pixel:
            raise SettingsError(
                place,
                f"{text!r} is an event of the pixel {long[1]!r}, not of {pixel!r}. "
                "Copy the event id from this pixel's events in Events Manager",
            )
        found = long[2]
    if _X_ID.fullmatch(found) is None:
        raise SettingsError(
            place,
            f"{text!r} is not an event id. Write it as Events Manager shows it: "
            f'"o8z6k" or "tw-{pixel}-o8z6k"',
        )
    if found == pixel:
        # X: "event_id (…) is not a single event tag (SET)". [doc WEB]
        raise SettingsError(
            place,
            f"{text!r} is the pixel's own id, which X refuses as an event. "
            "Copy the id of the event from Events Manager",
        )
    return found


def region(text: str, place: str) -> str:
    """Read a region of ISO 3166 that has phone numbers."""
    if text in PHONE_REGIONS:
        return text
    meant = {"UK": "GB", "EN": "GB", "USA": "US", "EL": "GR"}.get(text.upper(), text.upper())
    fix = (
        f"Write {meant!r}"
        if meant in PHONE_REGIONS
        else "Write a two-letter country code of ISO 3166, such as 'GB'"
    )
    raise SettingsError(place, f"{text!r} is not a region. {fix}")


def worth(text: str, place: str) -> Decimal:
    """Read an amount of money, such as "500" or "499.90"."""
    read = amount(text, path=place)
    if not isinstance(read, str):
        raise SettingsError(
            place,
            f"{text!r} is not an amount. Write a string with a decimal point, such as "
            '"500" or "499.90", in the currency of the conversion',
        )
    return Decimal(read)


def name(text: str, place: str, what: str) -> str:
    """Check a name chosen by the user."""
    if not text or len(text) > _LONGEST_NAME or not text.isprintable() or text != text.strip():
        raise SettingsError(
            place,
            f"{text[:_LONGEST_NAME]!r} is not a valid name for {what}. Write 1 to "
            f"{_LONGEST_NAME} printable characters, without spaces around them",
        )
    return text


def click_parameter(text: str, place: str) -> str:
    """Read the name of a URL parameter with a click id of another network."""
    if text == "twclid" or not _PARAMETER.fullmatch(text):
        raise SettingsError(
            place,
            f'{text!r} is not the name of a parameter of another network, such as "gclid". '
            "Twite keeps twclid itself",
        )
    return text


def write_key(text: str, place: str) -> str:
    """Check a public key, which pages put into the path of a URL."""
    if not _WRITE_KEY.fullmatch(text):
        raise SettingsError(
            place,
            "is not a write key. Write 1 to 64 letters, digits, dots, hyphens, underscores",
        )
    return text


def differ(names: list[str], place: str, what: str) -> None:
    """Refuse duplicate names. `place` contains {}, which is replaced by the index."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SettingsError(
                place.format(index),
                f"{name!r} is already the {what} at {place.format(names.index(name))}. "
                "Remove or rename one",
            )


def _split(text: str) -> SplitResult | None:
    """Split a URL; None if it is invalid, or its host has invalid characters."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    fits = _HOST.fullmatch(host) is not None or (":" in host and _is_ip(host))
    return parts if fits and not re.search(r"[\s\\]", text) else None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def currency_code(text: str, place: str) -> str:
    found = currency(text, path="")
    if isinstance(found, Fault):
        raise SettingsError(place, f"{text!r} is not an ISO 4217 currency code, such as EUR")
    return found
