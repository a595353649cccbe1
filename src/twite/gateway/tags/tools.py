"""What all errands share."""

import msgspec

from twite.gateway.google.google import Google
from twite.gateway.notices import Observer
from twite.gateway.ports import Clock
from twite.gateway.tags.crew import Crew
from twite.gateway.tags.storage import Storage
from twite.gateway.tags.to_x import ToX
from twite.gateway.tags.web import Web


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The threads, the ways out, and who is told."""

    crew: Crew
    web: Web
    google: Google
    to_x: ToX
    storage: Storage
    clock: Clock
    observer: Observer
