"""What commands read of what is to be expected, beside a running gateway or without one."""

import time

from twite.config.settings import Settings
from twite.gateway.alerts.forecast import LOOK_BACK, forecasts
from twite.gateway.ports.monitoring import Forecast
from twite.stores.sqlite import SQLiteReader


async def read_forecasts(settings: Settings, records: SQLiteReader) -> list[Forecast]:
    """Forecast each pixel of the settings as things are now."""
    now = time.time_ns() // 1_000_000
    return forecasts(
        settings.destinations(),
        await records.backlog(),
        await records.delivered(since=now - LOOK_BACK),
        now=now,
        paused=[one.pixel for one in await records.pauses() if not one.event],
    )
