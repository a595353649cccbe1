"""Run `twite` with workers that look for conversions only when they are woken.

python woken_sender.py serve --config twite.toml
"""

import subprocess
import sys

from twite.cli import main
from twite.domain.times import HOUR
from twite.gateway.delivery import worker


class WokenSender(subprocess.Popen):
    """Starts a gateway through this file."""

    def __init__(self, command, **more):
        super().__init__([sys.executable, __file__, *command[3:]], **more)


if __name__ == "__main__":
    worker.IDLE = HOUR
    main()
