"""The settings by which intake decides about a conversion."""

from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from twite.domain.consent import policy_version
from twite.domain.destination import Destination, Source
from twite.domain.test_mode import real_name
from twite.formats.value_rules import ValueRule, ValueRules
from twite.formats.value_table import ValueTable
from twite.gateway.ingest.value_guard import ValueGuards


class IntakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sources and pixels by name, the rules for values, and the dedup window in milliseconds."""

    sources: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    dedup_window: int
    value_rules: ValueRules = ValueRules(pixels={})

    @classmethod
    def of(
        cls,
        *,
        sources: tuple[Source, ...],
        destinations: tuple[Destination, ...],
        dedup_window: int,
        rules: Sequence[ValueRule] = (),
        tables: Mapping[str, ValueTable] = {},
    ) -> Self:
        return cls(
            sources={source.name: source for source in sources},
            destinations={destination.pixel: destination for destination in destinations},
            dedup_window=dedup_window,
            value_rules=ValueRules(
                rules,
                pixels={each.pixel: each.events for each in destinations},
                tables=tables,
            ),
        )

    def source(self, name: str) -> Source | None:
        """Return a source, also by its name in test mode."""
        return self.sources.get(real_name(name))

    def policy(self, name: str) -> str | None:
        """Return the version of a source's consent policy."""
        source = self.source(name)
        return None if source is None else policy_version(source.consent)

    def guards(self) -> ValueGuards:
        """Return value guards that have learned nothing."""
        return ValueGuards(
            sources={name: source.value_guard for name, source in self.sources.items()},
            pixels={
                pixel: destination.value_guard for pixel, destination in self.destinations.items()
            },
        )
