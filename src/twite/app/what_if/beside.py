"""`twite what-if` for the console: in a process of its own, so that the gateway does not wait."""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.config.settings import Settings
from twite.domain.errors import OperatorError, TransientError
from twite.gateway.what_if.report import WhatIfReport

SINCE: Final = "7d"
# Seconds after which it ends with what it has compared, and after which it is stopped.
_WITHIN: Final = 30
_PATIENCE: Final = 90.0
_DECODER: Final = msgspec.json.Decoder(WhatIfReport)


class WhatIfBusy(TransientError):
    """Another what-if has not ended."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class WhatIfProcess:
    """Runs `twite what-if` for the settings file of a gateway, one at a time."""

    settings: Settings
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def of_mapping(self, pixel: str, name: str, event: str) -> WhatIfReport:
        """Return what would have been different if a name had been mapped to X's event.

        Raises OperatorError with what the command says, and WhatIfBusy.
        """
        if self._lock.locked():
            raise WhatIfBusy(reason="another what-if is running. Try again later", retry_after=60)
        async with self._lock:
            return await self._run("--pixel", pixel, "--event", f"{name}={event}")

    async def _run(self, *arguments: str) -> WhatIfReport:
        command = ("what-if", "--config", str(self.settings.path), "--since", SINCE)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "twite",
            *command,
            *arguments,
            "--within",
            str(_WITHIN),
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                out, err = await process.communicate()
        except TimeoutError:
            reason = "the what-if took too long. Run twite what-if on the machine"
            raise WhatIfBusy(reason=reason, retry_after=60) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            said = err.decode("utf-8", "replace").strip().removeprefix("Error: ")
            raise OperatorError(said or "twite what-if failed")
        return _DECODER.decode(out)
