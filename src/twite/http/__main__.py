"""`python -m twite.http` prints the OpenAPI document."""

import sys

from twite.http.openapi.document import rendered

sys.stdout.buffer.write(rendered())
