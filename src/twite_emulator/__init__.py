"""An emulator of X's Conversion API on loopback, which checks requests independently of Twite.

It has its own code for signatures and bodies, and shares only the facts in `twite.x.spec`. Its
limits, switches, faults and control routes: docs/reference/emulator.md.
"""
