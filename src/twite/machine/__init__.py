"""The machine's clock and its source of chance."""

from twite.machine.clock import SystemClock
from twite.machine.randomness import SystemRandomness

__all__ = ["SystemClock", "SystemRandomness"]
