"""`twite emulate`: run only the emulator of X, which knows nothing of the gateway's commands."""

from twite.cli.options import prints
from twite_emulator.__main__ import EmulatorReady
from twite_emulator.__main__ import emulate as run

emulate = prints(EmulatorReady)(run)
