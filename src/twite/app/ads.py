"""The X Ads API client, and the Events Manager (event tags)."""

from collections.abc import Mapping
from functools import partial

from twite.app.accounts import noted
from twite.config.event_mapping import SettingsFileDraft
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.x_account.event_tags import EventTagManager, Note
from twite.gateway.x_account.inquiries import XInquiries, XInquiryAddress
from twite.machine import SystemClock, SystemRandomness
from twite.senders.http import HttpInquiries


def ask_x(settings: Settings) -> XInquiries:
    """Return the Ads API client."""
    x = settings.x
    return XInquiries(
        inquiries=HttpInquiries(timeout=x.timeout),
        clock=SystemClock(),
        randomness=SystemRandomness(),
        address=XInquiryAddress(
            api_url=x.api_url.rstrip("/"),
            oauth_url=x.oauth_url.rstrip("/"),
            version=x.api_version,
            app=x.app,
        ),
    )


def events_manager(
    settings: Settings, destinations: Mapping[str, Destination], *, note: Note | None = None
) -> EventTagManager:
    """Return the Events Manager; `destinations` include stored credentials.

    `note` writes into the audit log; None for a command, which reaches the log wherever the store
    is.
    """
    return EventTagManager(
        ask=ask_x(settings),
        destinations=destinations,
        sources=settings.sources(),
        url=settings.server.public_url or f"http://{settings.server.listen}",
        drafts=lambda pixel, name, event: SettingsFileDraft(
            settings.path, pixel=pixel, name=name, event=event
        ),
        note=note or partial(noted, settings),
        clock=SystemClock(),
    )
