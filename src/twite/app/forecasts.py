"""Forecast limits and backlogs, for commands, with or without a running gateway."""

import time

from twite.config.settings import Settings
from twite.gateway.alerts.forecast import LOOK_BACK, forecasts
from twite.gateway.ports.monitoring import Forecast
from twite.gateway.ports.queries import DeliveredQuery
from twite.gateway.ports.state import Pause
from twite.gateway.ports.store import StoreReader


async def read_forecasts(settings: Settings, records: StoreReader) -> list[Forecast]:
    """Forecast each pixel of the settings from its current state."""
    now = time.time_ns() // 1_000_000
    return forecasts(
        settings.destinations(),
        await records.backlog(),
        await records.answer(DeliveredQuery(since=now - LOOK_BACK)),
        now=now,
        paused=[pause.pixel for pause in await records.load(Pause) if not pause.event],
    )
