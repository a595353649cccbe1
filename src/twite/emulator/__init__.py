"""A stand-in for X on loopback, and an independent judge of what is sent to it.

Of Twite it knows only the facts in `twite.x.spec`: signatures and bodies are checked with its own
code. What it does not do, its switches, faults and control routes: docs/reference/emulator.md.
"""
