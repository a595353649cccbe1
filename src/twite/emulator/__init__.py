"""An emulator of X's Conversion API on loopback, which judges requests independently of Twite.

It shares only the facts in `twite.x.spec` with Twite: it checks signatures and bodies with its own
code. Its limits, switches, faults and control routes: docs/reference/emulator.md.
"""
