"""A switch with a default for every question that X's documentation leaves open."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from twite_emulator import spec
from twite_emulator.exchange import EmulatorInputError

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
_TRUTHS: Final[Mapping[str, object]] = {"on": True, "off": False}


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
    analytics_access: Literal["standard", "any"] = "standard"
    pixel_token_analytics: bool = False
    stats_limit: Count = 250
    stats_window: Annotated[float, Meta(gt=0)] = spec.RATE_WINDOW_SECONDS
    stats_limit_scope: Literal["category", "endpoint"] = "category"
    stats_range: Literal["hours", "days"] = "hours"
    day_alignment: Literal["day", "today"] = "day"
    total_alignment: Literal["hour", "midnight"] = "hour"
    unknown_entities: Literal["refuse", "null"] = "refuse"
    stats_delay: Seconds = 0
    stats_nulls: bool = False
    estimate_share: Share = 1
    late_conversions: Literal["counted", "dropped"] = "counted"
    spend_excess: Share = 0
    attribution_day: Literal["conversion", "touch"] = "conversion"
    counted_events: Literal["all", "primary"] = "all"
    conversion_shape: Literal["metric", "array", "split"] = "metric"
    empty_conversions: Literal["null", "object", "zeros"] = "null"
    sale_amount_unit: Literal["micro", "money", "minor"] = "micro"
    segment_shape: Literal["name_value", "value", "id"] = "name_value"
    segmented_tags: Literal["table", "all"] = "table"
    job_seconds: Seconds = 2
    job_limit: Count = 100
    job_outcome: Literal["success", "failed"] = "success"
    job_ttl: Seconds = 2 * 24 * 3600
    expired_job: Literal["listed", "gone"] = "listed"
    job_file_access: Literal["public", "oauth"] = "public"
    job_file_encoding: Literal["none", "gzip"] = "none"
    checks: bool = True
    log_requests: Count = 100_000
    log_bodies: Count = 1_000


def _questions() -> Iterator[tuple[str, str]]:
    for line in Path(__file__).with_name("switches.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            name, _, question = line.partition(": ")
            yield name, question


# The open question behind each switch, in the order of the fields; shown in the docs and by `GET
# switches`.
QUESTIONS: Final[Mapping[str, str]] = dict(_questions())


def changed(switches: Switches, changes: Mapping[str, object]) -> Switches:
    """Return `switches` with `changes`.

    Raises EmulatorInputError for an unknown key or a value of the wrong kind. Text is accepted for
    any kind: `on`, `off`, `true`, `false` and numbers.
    """
    for key in changes:
        if key not in QUESTIONS:
            raise EmulatorInputError(_unknown(key))
    now = msgspec.structs.asdict(switches)
    for key, value in changes.items():
        is_truth = isinstance(now[key], bool) and isinstance(value, str)
        now[key] = _TRUTHS.get(str(value), value) if is_truth else value
    try:
        return msgspec.convert(now, Switches, strict=False)
    except msgspec.ValidationError as error:
        raise EmulatorInputError(f"This value does not fit the switch: {error}") from None


def parsed(pairs: Iterable[str]) -> Switches:
    """Return the switches with their defaults, changed by pairs like `strict_time=on`."""
    changes: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise EmulatorInputError(f"Write a switch as key=value; {pair!r} has no '='")
        changes[key.strip()] = value.strip()
    return changed(Switches(), changes)


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, QUESTIONS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"There is no switch {key!r}{hint}"
