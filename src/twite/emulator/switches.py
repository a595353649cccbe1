"""A switch with a default for every question that X's documentation leaves open."""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from twite.x import spec

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]


class SwitchError(ValueError):
    """An unknown switch, or a value that a switch does not accept.

    The text names the problem and the fix.
    """


class Switches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The emulator's choices where X's documentation is silent. Durations are seconds."""

    pixel_token_enabled: bool = True
    pixel_token_scope: Literal["pixel", "account"] = "pixel"  # noqa: S105 - a choice
    pixel_token_ttl: Seconds = 0
    pixel_token_error: Literal["generic", "empty", "html"] = "generic"  # noqa: S105 - a choice
    oauth_window: Seconds = spec.OAUTH_WINDOW_SECONDS
    max_age: Seconds = 0
    max_future: Seconds = 0
    strict_time: bool = False
    time_precedence: Literal["conversion_time", "conversion_timestamp"] = "conversion_time"
    strict_double: bool = True
    currency_check: Literal["iso", "shape", "off"] = "iso"
    hash_case: Literal["lower", "any"] = "lower"
    allow_ipv6: bool = True
    element_rule: Literal["each", "any", "union"] = "each"
    event_name_mode: Literal["gtm", "gtm_token", "any", "off"] = "gtm"
    event_scope: Literal["account", "pixel"] = "account"
    single_event_batch: bool = False
    tag_id_mode: Literal["both", "id", "website_tag_id"] = "both"
    extra_fields: Literal["accept", "reject"] = "accept"
    unknown_fields: Literal["ignore", "reject"] = "ignore"
    dedup_scope: Literal["pixel_api", "api_api", "all", "none"] = "pixel_api"
    dedup_keep: Literal["first", "last"] = "first"
    dedup_count: Literal["counted", "uncounted"] = "counted"
    dedup_window: Seconds = spec.DEDUP_WINDOW_SECONDS
    rate_unit: Literal["events", "requests"] = "events"
    rate_limit: Count = spec.RATE_LIMIT
    rate_window: Annotated[float, Meta(gt=0)] = spec.RATE_WINDOW_SECONDS
    rate_headers: Literal["any", "oauth", "none"] = "any"
    rate_header_kind: Literal["user", "account", "both"] = "user"
    partial_success: bool = False
    echo_account: bool = True
    sandbox: bool = True
    pixel_txn: Literal["event", "tw", "any"] = "event"
    tracking_delay: Seconds = 12 * 3600
    checks: bool = True
    log_requests: Count = 100_000
    log_bodies: Count = 1_000


# The open question of each switch, in the order of the fields; shown in the docs and by `GET
# switches`. The last three lines are about the emulator, not about X.
QUESTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pixel_token_enabled": "May a custom integration use X-Pixel-Token?",
        "pixel_token_scope": "Is a pixel token valid for one pixel or for its whole account?",
        "pixel_token_ttl": "When does a pixel token expire? 0 means never.",
        "pixel_token_error": "How does X respond to a wrong pixel token?",
        "oauth_window": "How far may oauth_timestamp be from X's clock?",
        "max_age": "How old may a conversion be? 0 means no limit.",
        "max_future": "How far in the future may a conversion be? 0 means no limit.",
        "strict_time": "Must conversion_time have three-digit milliseconds and Z?",
        "time_precedence": "Which time counts when a conversion has both?",
        "strict_double": "Is a JSON integer refused for value and content_price?",
        "currency_check": (
            "Which currencies are valid: ISO 4217 codes in use, any three capital letters, or "
            "any text?"
        ),
        "hash_case": "Is an upper-case hash accepted?",
        "allow_ipv6": "May ip_address be IPv6?",
        "element_rule": "Must each identifiers element suffice, at least one, or all together?",
        "event_name_mode": "Which event_name can replace event_id, and with which credentials?",
        "event_scope": "Must the event belong to the pixel's account, or to the pixel itself?",
        "single_event_batch": "Does X refuse several event ids in one request?",
        "tag_id_mode": "Is the event id of a web event tag its id or its website_tag_id?",
        "extra_fields": "Are restricted_data_use, search_string and event_source_url accepted?",
        "unknown_fields": "Does X ignore fields that it does not document?",
        "dedup_scope": "Which copies does X deduplicate?",
        "dedup_keep": "Which copy survives?",
        "dedup_count": "Does conversions_processed count a duplicate?",
        "dedup_window": "For how long after the first copy is a second copy a duplicate?",
        "rate_unit": "Does the rate limit count conversions or requests?",
        "rate_limit": "How many of them may an account send per window?",
        "rate_window": "How long is a rate-limit window?",
        "rate_headers": "With which authentication do responses have rate-limit headers?",
        "rate_header_kind": "Which rate-limit headers: the user's, the account's, or both?",
        "partial_success": (
            "Does X accept the valid conversions in a batch with errors, and list the errors in a "
            "200 response?"
        ),
        "echo_account": "Does the response name the account if a pixel token is used?",
        "sandbox": "Does the sandbox host accept conversions?",
        "pixel_txn": "What does the pixel's txn_id contain for twq('event')?",
        "tracking_delay": "How long after its first conversion does an event become TRACKING?",
        "checks": "Off: count conversions with as little work as possible, for benchmarks.",
        "log_requests": "How many of the last requests `GET received` lists.",
        "log_bodies": "How many of their bodies are kept, up to 64 MiB.",
    }
)


def changed(switches: Switches, changes: Mapping[str, object]) -> Switches:
    """Return `switches` with `changes`.

    Raises SwitchError for an unknown key or a value of the wrong kind. Text is accepted for any
    kind: `on`, `off`, `true`, `false` and numbers.
    """
    for key in changes:
        if key not in QUESTIONS:
            raise SwitchError(_unknown(key))
    now = msgspec.structs.asdict(switches)
    for key, value in changes.items():
        is_truth = isinstance(now[key], bool) and isinstance(value, str)
        now[key] = _TRUTHS.get(str(value), value) if is_truth else value
    try:
        return msgspec.convert(now, Switches, strict=False)
    except msgspec.ValidationError as error:
        raise SwitchError(f"This value does not fit the switch: {error}") from None


def parsed(pairs: Iterable[str], switches: Switches | None = None) -> Switches:
    """Return `switches` (by default the defaults), changed by pairs like `strict_time=on`."""
    changes: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SwitchError(f"Write a switch as key=value; {pair!r} has no '='")
        changes[key.strip()] = value.strip()
    return changed(switches or Switches(), changes)


_TRUTHS: Final[Mapping[str, object]] = {"on": True, "off": False}


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, QUESTIONS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"There is no switch {key!r}{hint}"
