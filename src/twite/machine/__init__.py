"""Adapters to the operating system: clock, disk, passwords, random numbers, encryption."""

from twite.machine.clock import SystemClock
from twite.machine.randomness import SystemRandomness

__all__ = ["SystemClock", "SystemRandomness"]
