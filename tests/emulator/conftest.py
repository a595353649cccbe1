"""The shipped fixtures, as the plugin gives them to users."""

from twite.testing.plugin import x_emulator, x_emulator_process

__all__ = ["x_emulator", "x_emulator_process"]
