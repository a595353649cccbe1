"""`[[pixel]]` and `[[source]]`: build the destinations and the sources."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from twite.config import toml, values
from twite.config.collected_errors import CollectedErrors
from twite.config.schema import AuthTable, PixelTable, SourceTable
from twite.domain.destination import (
    Credentials,
    Destination,
    MissingCredentials,
    OAuthKeys,
    PixelToken,
    Source,
    emulator_token,
)
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.test_mode import TEST, is_test
from twite.formats.event_data.conversions import IGNORE

# The source name of conversions from requests in X's format.
_RESERVED: Final = frozenset({"x-api"})
_SHORTEST_KEY: Final = 16


def destinations(
    written: tuple[PixelTable, ...], *, rate: int, emulated: bool = False
) -> tuple[Destination, ...]:
    """Check every pixel, and return the destinations.

    `rate` is in conversions per fifteen minutes. If X is `emulated`, a pixel needs no `auth`.
    """
    made = []
    wrong = CollectedErrors()
    for index, pixel in enumerate(written):
        with wrong.collect():
            made.append(_destination(pixel, f"pixel[{index}]", rate))
    with wrong.collect():
        values.differ([pixel.id for pixel in written], "pixel[{}].id", "pixel")
    wrong.raise_any()
    return tuple(map(_with_token, made)) if emulated else tuple(made)


def _destination(table: PixelTable, place: str, rate: int) -> Destination:
    pixel = table.id
    if not table.events:
        raise SettingsError(
            f"{place}.events",
            "is empty. Map each of your event names to X's event id, for example "
            '{ purchase = "o8z6k" }',
        )
    for name in table.events:
        values.name(name, f"{place}.events", "an event")
    first, fallback = _credentials(table.auth, f"{place}.auth")
    return Destination(
        pixel=pixel,
        credentials=first,
        fallback=fallback,
        events={
            name: values.event_id(event, f"{place}.events.{name}", pixel=pixel)
            for name, event in table.events.items()
        },
        account=table.account,
        rate=rate,
        is_cautious=table.on_ambiguous == "hold",
        value_guard=table.value_guard,
    )


def _with_token(destination: Destination) -> Destination:
    """Give a pixel without credentials a token of the emulator."""
    if not isinstance(destination.credentials, MissingCredentials):
        return destination
    return msgspec.structs.replace(destination, credentials=emulator_token(destination.pixel))


def _credentials(auth: AuthTable | None, place: str) -> tuple[Credentials, OAuthKeys | None]:
    """Return the preferred credentials and the fallback. If none are set, stored ones are used."""
    if auth is None:
        return MissingCredentials(), None
    keys = _oauth_keys(auth, place)
    if auth.pixel_token is not None:
        return PixelToken(token=auth.pixel_token), keys
    if keys is None:
        raise SettingsError(
            place,
            'contains no credentials. Write { pixel_token = "env:X_PIXEL_TOKEN" }, '
            "or the four parts of OAuth 1.0a; or leave auth out and sign in with "
            "twite login",
        )
    return keys, None


def _oauth_keys(auth: AuthTable, place: str) -> OAuthKeys | None:
    parts = {
        "consumer_key": auth.consumer_key,
        "consumer_secret": auth.consumer_secret,
        "token": auth.token,
        "token_secret": auth.token_secret,
    }
    missing = [name for name, part in parts.items() if part is None]
    if len(missing) == len(parts):
        return None
    if missing:
        raise SettingsError(f"{place}.{missing[0]}", "is missing: OAuth 1.0a needs all four parts")
    return OAuthKeys(
        consumer_key=auth.consumer_key or "",
        consumer_secret=auth.consumer_secret or Secret(""),
        token=auth.token or "",
        token_secret=auth.token_secret or Secret(""),
    )


Pixels = Mapping[str, Collection[str]]


def sources(
    written: tuple[SourceTable, ...],
    *,
    pixels: Pixels,
    can_restrict: bool = True,
    without_clients: Collection[str] = (),
) -> tuple[Source, ...]:
    """Check every source against the pixels and their event names, and return the sources.

    `can_restrict` says whether X supports restricted use; `without_clients` are the
    sources of webhooks and syncs, which need no key.
    """
    made = []
    wrong = CollectedErrors()
    for index, source in enumerate(written):
        with wrong.collect():
            place = f"source[{index}]"
            _require_sender(source, place, without_clients)
            made.append(_source(source, place, pixels, can_restrict=can_restrict))
    with wrong.collect():
        values.differ([source.name for source in written], "source[{}].name", "source")
    wrong.raise_any()
    _differ_in_key(tuple(made))
    return _joined(made)


def _joined(made: Iterable[Source]) -> tuple[Source, ...]:
    """Tell each source for which of its pixels a source waits."""
    sources = tuple(made)
    waiting = frozenset[str]().union(*(source.pixels for source in sources if source.wait))
    return tuple(
        msgspec.structs.replace(source, joined_pixels=source.pixels & waiting) for source in sources
    )


def weak_keys(made: tuple[Source, ...]) -> Iterator[str]:
    """Yield a warning for each source key that could be guessed."""
    for index, source in enumerate(made):
        if source.key and len(source.key.reveal()) < _SHORTEST_KEY:
            yield f"source[{index}].key: short enough to guess. `twite init` creates a safe key"


def _require_sender(table: SourceTable, place: str, without_clients: Collection[str]) -> None:
    if table.key is None and not table.origins and table.name not in without_clients:
        raise SettingsError(
            place,
            "has neither a key nor origins, so no client could send conversions. "
            'Set key = "env:NAME" for servers, or origins for browsers, or add a [[webhook]] or a '
            "[[sync]]",
        )


def _source(table: SourceTable, place: str, pixels: Pixels, *, can_restrict: bool) -> Source:
    name = table.name
    if name in _RESERVED:
        raise SettingsError(
            f"{place}.name", f"{name!r} is reserved for requests in X's format. Choose another name"
        )
    if is_test(name):
        raise SettingsError(
            f"{place}.name", f"{TEST!r} begins the names of sources in test mode. Choose another"
        )
    if table.key is not None and not table.key.reveal().isascii():
        raise SettingsError(f"{place}.key", "must be ASCII, to fit into an HTTP header")
    if table.write_key is not None and not table.origins:
        raise SettingsError(
            f"{place}.write_key",
            "is for pages, and the source has no origins. Add the origins of the pages",
        )
    named = {"pixel": table.pixel} | {
        f"pixels[{index}]": pixel for index, pixel in enumerate(table.pixels)
    }
    for key, pixel in named.items():
        if pixel not in pixels:
            known = toml.nearest(pixel, pixels, none="There is no [[pixel]] yet. Add one")
            raise SettingsError(
                f"{place}.{key}", f"{pixel!r} is not the id of a [[pixel]]. {known}"
            )
    return Source(
        name=name,
        key=table.key,
        pixel=table.pixel,
        pixels=frozenset(named.values()),
        origins=table.origins,
        write_key=table.write_key,
        consent=msgspec.structs.replace(
            table.consent_policy,
            required=table.consent == "required",
            can_restrict=can_restrict,
        ),
        region=table.region,
        events=_events(table.events, f"{place}.events", pixels[table.pixel]),
        cookie=table.cookie,
        browser_value_limit=table.browser_value_limit,
        browser_rate=table.browser_rate,
        x_pixel=table.x_pixel,
        value_guard=table.value_guard,
        stape_credentials=table.stape_credentials,
        wait=table.wait,
        keep_click_ids=table.keep_click_ids,
        test_until=table.test_until,
    )


def _events(written: Mapping[str, str], place: str, known: Collection[str]) -> dict[str, str]:
    """Check the event mapping of tags; tag events are compared in lower case."""
    for name, target in written.items():
        if target != IGNORE and target not in known:
            raise SettingsError(
                f"{place}.{name}",
                f"{target!r} is not an event of the source's pixel. "
                + toml.nearest(target, [*known, IGNORE]),
            )
    return {name.strip().lower(): target for name, target in written.items()}


def _differ_in_key(sources: tuple[Source, ...]) -> None:
    """Check that each source key belongs to one source. Unreadable keys are not compared."""
    for index, source in enumerate(sources):
        for other in sources[:index]:
            if source.key and source.key == other.key:
                raise SettingsError(
                    f"source[{index}].key",
                    f"source {other.name!r} has the same key. Give each source its own key",
                )
    for index, source in enumerate(sources):
        if source.write_key is None:
            continue
        for other in sources:
            if other.key and other.key.reveal() == source.write_key:
                raise SettingsError(
                    f"source[{index}].write_key",
                    f"is the secret key of source {other.name!r}, and pages show it to "
                    "everyone. Choose another text",
                )
            if other is not source and other.write_key == source.write_key:
                raise SettingsError(
                    f"source[{index}].write_key",
                    f"source {other.name!r} has the same write_key. Give each its own",
                )
