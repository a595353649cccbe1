"""Dependencies shared by all tag runs."""

import msgspec

from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.web import Web
from twite.gateway.tags.google.requests import GoogleClient
from twite.gateway.tags.run.to_x import ToX
from twite.gateway.tags.runtime.engine_pool import EnginePool
from twite.gateway.tags.runtime.template_storage import TemplateStorage


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """The engine threads, the outbound requests, and the observer."""

    engine_pool: EnginePool
    web: Web
    google: GoogleClient
    to_x: ToX
    storage: TemplateStorage
    clock: Clock
    observer: Observer
