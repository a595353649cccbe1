"""What `twite serve` reports besides its log: the start, the end, warnings and failures.

With `log.format = "json"`, these are lines of the log. A gateway must not end because nobody reads
its output, so everything is written by LineOutput.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from twite.cli.printing import safe
from twite.config.server_tables import LogSettings
from twite.config.settings import FILE, Settings
from twite.domain.errors import TwiteError
from twite.observers.library_log import raised
from twite.observers.line_output import LineOutput
from twite.observers.log import LineLogger


@contextmanager
def failures_as_json() -> Iterator[None]:
    """Write an error that ends the gateway as a line of the log."""
    log = LineLogger(level="error", as_json=True)
    try:
        yield
    except TwiteError as error:
        log.write("error", "gateway failed", reason="; ".join(str(error).splitlines()))
        raise SystemExit(1) from None
    except Exception as fault:  # noqa: BLE001  `explained` would print it as text
        log.write("error", "internal error", **raised(type(fault), fault.__traceback__))
        raise SystemExit(1) from None


class ServeNotices:
    """Writes lines for people, or lines of the log."""

    def __init__(self, settings: LogSettings) -> None:
        as_json = settings.format == "json"
        self.log = LineLogger(level=settings.level, as_json=as_json)
        self._is_text = not as_json
        self._output = LineOutput(sys.stdout)
        self._errors = LineOutput(sys.stderr)

    def say(self, line: str) -> None:
        """Write a line on standard output, whatever the format of the log."""
        self._output.write(safe(line))

    def warn(self, event: str, sentence: str) -> None:
        """Write a warning; `event` is its short form for the log."""
        if self._is_text:
            self._errors.write(safe(sentence))
        else:
            self.log.write("warning", event, reason=sentence.removeprefix("Warning: "))

    def stopped(self) -> None:
        if self._is_text:
            self.say("Stopped.")
        else:
            self.log.write("info", "gateway stopped")

    def started(self, settings: Settings, url: str, *, has_admin: bool) -> None:
        """Report that the gateway accepts requests."""
        pixels = [pixel.pixel for pixel in settings.destinations()]
        console = settings.console_at(url)
        public_url, emulator = settings.server.public_url, settings.x.emulator
        if not self._is_text:
            self.log.write(
                "info",
                "gateway started",
                url=url,
                public_url=public_url,
                console=console,
                has_admin=has_admin,
                store=settings.store.shown,
                sends_to=settings.x.api_url,
                is_emulator=emulator is not None,
                pixels=pixels,
                pid=os.getpid(),
            )
            return
        self.say(f"Twite listens on {url}")
        if public_url is not None:
            self.say(f"  seen as   {public_url}")
        self.say(f"  store     {settings.store.shown}")
        names = ", ".join(pixels) or "none"
        if emulator is None:
            self.say(f"  sends to  {settings.x.api_url}, pixels: {names}")
        else:
            self.say(f"  sends to  the built-in emulator, NOT to X, pixels: {names}")
            self.say("            twite connect switches to X")
        self.say(f"  console   {console}")
        if not has_admin:
            named = "" if settings.path == FILE else f" --config {settings.path}"
            self.say(f"            needs a first user: twite user add NAME --role admin{named}")
        self.say("  stops     on Ctrl-C or SIGTERM, after in-flight requests have finished")
