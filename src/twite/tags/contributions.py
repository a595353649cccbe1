"""What this package adds to the gateway, by kind. Nothing outside imports it: `twite.features`."""

from collections.abc import Mapping
from typing import Final

from twite.features import Kind

CONTRIBUTIONS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "commands": ("twite.tags.commands.group:GROUP",),
    "checks": ("twite.tags.checks.checks:CHECKS",),
    "gateway": ("twite.tags.app.tag_feature:GATEWAY",),
    "settings": ("twite.tags.settings.tag_settings:TABLES",),
    "routes": ("twite.tags.routes.preview_commands:ROUTE",),
}
