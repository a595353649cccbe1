"""The machine's clock and its source of chance."""

from twite.machine.chance import SystemChance
from twite.machine.clock import SystemClock

__all__ = ["SystemChance", "SystemClock"]
