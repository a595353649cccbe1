"""The checks of tags, in the order of the report."""

from typing import Final

from twite.diagnostics.feature_checks import FeatureChecks
from twite.tags.checks.console import console
from twite.tags.checks.container import container, google, tags
from twite.tags.checks.engines import engines

CHECKS: Final = FeatureChecks(
    of_settings=(tags, engines, console), others=(container,), probes=(google,)
)
