"""Test support for Twite and its users: clocks, fakes, and the X emulator as a fixture."""
