"""The Ads API: where it is, who asks, and the Events Manager."""

from collections.abc import Mapping
from functools import partial

from twite.assembly.mapping import Draft
from twite.assembly.people import noted
from twite.assembly.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.ask_x import AskX, XAddress
from twite.gateway.events_desk import EventsDesk, Note
from twite.machine import SystemChance, SystemClock
from twite.senders.inquiries import HttpInquiries


def ask_x(settings: Settings) -> AskX:
    """Return who asks."""
    x = settings.x
    return AskX(
        inquiries=HttpInquiries(timeout=x.timeout),
        clock=SystemClock(),
        chance=SystemChance(),
        address=XAddress(
            api_url=x.api_url.rstrip("/"),
            oauth_url=x.oauth_url.rstrip("/"),
            version=x.api_version,
            app=x.app,
        ),
    )


def events_desk(
    settings: Settings, destinations: Mapping[str, Destination], *, note: Note | None = None
) -> EventsDesk:
    """Return the Events Manager; `destinations` have what is stored of their credentials.

    `note` writes into the audit; None for a command, which reaches it wherever the store is.
    """
    return EventsDesk(
        ask=ask_x(settings),
        destinations=destinations,
        sources=settings.sources(),
        url=settings.server.public_url or f"http://{settings.server.listen}",
        drafts=lambda pixel, name, event: Draft(settings.path, pixel=pixel, name=name, event=event),
        note=note or partial(noted, settings),
        clock=SystemClock(),
    )
