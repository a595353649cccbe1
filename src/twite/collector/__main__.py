"""`python -m twite.collector` prints the OpenAPI document."""

import sys

from twite.collector.openapi import rendered

sys.stdout.buffer.write(rendered())
