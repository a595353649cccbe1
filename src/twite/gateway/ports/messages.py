"""Words for the outside: of X's answers, what may be shown where strangers read along.

X's answers echo what callers sent, in brackets or quotes [doc WEB]. A log or a webhook gets only
their beginning, without what is echoed and without control characters; the ledger keeps X's words
whole.
"""

import re
from typing import Final

_LONGEST: Final = 200
# Echoes, from the first mark to the last: what is echoed may hold marks itself. And whatever looks
# like a hash or an address, wherever it stands.
_ECHOED: Final = re.compile(r"""\(.*\)|".*"|[0-9A-Fa-f]{32,}|\S+@\S+""", re.DOTALL)


def plain(text: str) -> str:
    """Return what may be shown of X's words."""
    shown = _ECHOED.sub("…", text)[:_LONGEST]
    return "".join(c if c.isprintable() else "?" for c in shown)
