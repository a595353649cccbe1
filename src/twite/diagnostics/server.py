"""Diagnostics of a database server: settings, clock, connections, and the gateways on it."""

from collections.abc import Iterator
from typing import Final

from twite.config.settings import Settings
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.gateway.ports.store import ServerExamination

# In milliseconds. Gateways hold leases for seconds, measured by the database's clock.
_CLOCKS_APART: Final = 2_000
# If the database uses this share of store.size_limit, it is nearly full.
_NEARLY_FULL: Final = 0.8
_ACCEPTS_WRITES: Final = frozenset({"read-write", "primary"})


def server(settings: Settings, server: ServerExamination) -> Iterator[CheckFinding]:
    """Yield the findings about a database server."""
    yield passed("store", f"{server.software} at {settings.store.shown}")
    yield from _weak(settings, server)
    if abs(server.clock_ahead) > _CLOCKS_APART:
        yield warning(
            "store",
            f"the database's clock is {server.clock_ahead / 1_000:+.1f} s ahead of this machine",
            "The recorded times of conversions and of deliveries do not match.",
            "Synchronize both clocks with NTP.",
        )
    yield from _way(server)
    yield from _connections(settings, server)
    yield from _size(settings, server)
    yield _schema(server)
    yield from _gateways(server)


def _weak(settings: Settings, server: ServerExamination) -> Iterator[CheckFinding]:
    for weak in server.weak:
        if settings.store.accept_weak_durability:
            yield warning(
                "store",
                weak,
                "Twite could lose acknowledged conversions in a power failure.",
                "Turn the setting on.",
            )
        else:
            yield failed(
                "store",
                weak,
                "Twite could lose acknowledged conversions, so the gateway does not start.",
                "Turn the setting on, or set store.accept_weak_durability.",
            )


def _way(server: ServerExamination) -> Iterator[CheckFinding]:
    if server.is_pooled:
        yield passed("store", "connections to the database go through a pooler")
    if server.hosts == 1:
        return
    if server.attributes in _ACCEPTS_WRITES:
        yield passed("store", f"store.url names {server.hosts} hosts; Twite uses the primary")
    else:
        yield warning(
            "store",
            f"store.url names {server.hosts} hosts, with target_session_attrs={server.attributes}",
            "The gateway can connect to a standby, which accepts no writes.",
            "Remove target_session_attrs from store.url. The default is read-write.",
        )


def _connections(settings: Settings, server: ServerExamination) -> Iterator[CheckFinding]:
    if server.is_pooled:
        return  # the pooler has a limit of its own
    # Before the first start, only the settings say how many gateways this machine will run.
    count = max(settings.server.workers, len(server.gateways))
    shown = f"the server allows Twite {server.connections} connections"
    if server.connections < count * server.connections_each:
        yield warning(
            "store",
            f"{shown}; a gateway opens up to {server.connections_each}, and there "
            f"{'is 1 gateway' if count == 1 else f'are {count} gateways'}",
            "Requests get 503 if no database connection is free.",
            "Raise max_connections of PostgreSQL, or the limit of the database or role.",
        )
    else:
        yield passed("store", shown)


def _size(settings: Settings, server: ServerExamination) -> Iterator[CheckFinding]:
    limit = settings.store.size_limit
    shown = f"the database uses {server.size / (1 << 20):,.0f} MiB"
    if limit is None:
        yield warning(
            "store",
            f"{shown}; store.size_limit is not set",
            "PostgreSQL stops when its disk is full, and the gateway then accepts nothing.",
            "Set store.size_limit well below the size of the server's disk.",
        )
    elif server.size < limit * _NEARLY_FULL:
        yield passed("store", f"{shown} of {limit / (1 << 20):,.0f} MiB")
    else:
        yield warning(
            "store",
            f"{shown} of {limit / (1 << 20):,.0f} MiB",
            "If the database reaches store.size_limit, the gateway returns 503.",
            "Raise store.size_limit, or keep data for a shorter time.",
        )


def _schema(server: ServerExamination) -> CheckFinding:
    if server.schema < server.newest_schema and not server.may_migrate:
        return failed(
            "store",
            "the role may not create or change tables",
            "The gateway would not start.",
            "Make the role the owner of the database and of its tables.",
        )
    if not server.schema:
        return passed("store", "the database has no tables yet; twite serve creates them")
    if server.schema < server.newest_schema:
        shown = f"the schema has version {server.schema}; the gateway updates it when it starts"
        return passed("store", shown)
    return passed("store", f"the schema has version {server.schema}, the newest")


def _gateways(server: ServerExamination) -> Iterator[CheckFinding]:
    if not server.gateways:
        return
    count = len(server.gateways)
    named = ", ".join(
        f"{gateway.name} (Twite {gateway.version}{', the leader' if gateway.is_leader else ''})"
        for gateway in server.gateways
    )
    shown = f"{count} {'gateway uses' if count == 1 else 'gateways use'} the database: {named}"
    if len({gateway.version for gateway in server.gateways}) == 1:
        yield passed("store", shown)
    else:
        yield warning(
            "store",
            shown,
            "Gateways with different versions of Twite can treat the same conversion differently.",
            "Update all gateways to the newest version.",
        )
