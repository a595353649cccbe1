"""`python -m twite.http` prints the OpenAPI document."""

import sys

from twite.http.route_table import rendered

sys.stdout.buffer.write(rendered())
