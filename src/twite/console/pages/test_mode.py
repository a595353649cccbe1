"""The switch that puts a source into test mode, in the settings file."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.pages.sources import SOURCES, known_source
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.domain.people.users import AuditAction, Role
from twite.domain.times import HOUR, spelled
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult

# Hours; a test mode without an end would be forgotten.
HOURS: Final = (1, 4, 24, 72)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class TestModePage:
    """`write` sets or removes the end of a source's test mode in the settings file."""

    sources: Sequence[Source]
    write: Callable[[str, int | None], None]
    reload: Callable[[], Awaitable[ReloadReport]]

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("POST", f"{SOURCES}/{{source}}/test", self._set, role=Role.ADMIN),)

    async def _set(self, request: PageRequest) -> Response:
        source = known_source(request, self.sources)
        path, hours = f"{SOURCES}/{source.name}", request.form.number("hours")
        until = request.now // 1_000 * 1_000 + hours * HOUR if hours in HOURS and hours else None
        detail = "off" if until is None else f"until {spelled(until)}"
        await request.note(AuditAction.SOURCE_TEST, source.name, detail)
        try:
            await asyncio.to_thread(self.write, source.name, until)
        except SettingsError as error:
            return request.back_to(path, message=str(error), bad=True)
        report = await self.reload()
        if report.result not in {ReloadResult.RELOADED, ReloadResult.UNCHANGED}:
            reasons = "; ".join(report.problems) or "see the log"
            message = f"twite.toml was written, but the gateway kept its old settings: {reasons}"
            return request.back_to(path, message=message, bad=True)
        message = (
            "Test mode is off: conversions go to X again."
            if until is None
            else "Test mode is on: the emulator gets the conversions, and X gets none."
        )
        return request.back_to(path, message=message)
