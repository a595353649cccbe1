"""A person in front of X's page, and a gateway that signs them in: over real sockets."""

import re
import urllib.error
import urllib.parse
import urllib.request

from msgspec.structs import replace

from twite.domain.destination import App
from twite.domain.secret import Secret
from twite.gateway.ask_x import AskX, XAddress
from twite.gateway.connect import Connect
from twite.gateway.logins import Logins
from twite.gateway.vault import Strongroom
from twite.machine import SystemChance, SystemClock
from twite.machine.seal import AesSeal
from twite.senders.inquiries import HttpInquiries
from twite.testing.builders import a_destination
from twite.testing.clock import MovingClock
from twite.testing.memory_vault import MemoryVault

ACCOUNT = "18ce54d4x5t"
CALLBACK = "http://127.0.0.1:8080/x/callback"  # the one that the emulated app has
# The emulator's own app, as its docs print it.
APP = App(
    consumer_key="xvz1evFS4wEEPTGEFPHBog",
    consumer_secret=Secret("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
)


class House:
    """Who signs in, with a vault of its own. `clock` is what sign-ins grow old by."""

    def __init__(self, url: str, *, app: App | None = APP, account: str | None = ACCOUNT):
        self.clock = MovingClock()
        self.vault = MemoryVault()
        self.logins = Logins(
            Strongroom(vault=self.vault, seal=AesSeal(Secret("a-key-that-nobody-will-guess")))
        )
        pixel = replace(a_destination(), account=account)
        self.ask = AskX(
            inquiries=HttpInquiries(timeout=5_000),
            clock=SystemClock(),
            chance=SystemChance(),
            address=XAddress(api_url=url, oauth_url=url, version="12", app=app),
        )
        self.connect = Connect(
            ask=self.ask,
            clock=self.clock,
            keeper=self.logins,
            destinations={pixel.pixel: pixel},
        )


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def answer_the_page(page: str, **choice: str) -> tuple[str, str]:
    """Press a button on X's page; return the PIN that it shows and where it sends the browser."""
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)["oauth_token"][0]
    form = urllib.parse.urlencode({"oauth_token": token, **(choice or {"allow": "1"})}).encode()
    opener = urllib.request.build_opener(_Stays)
    try:
        with opener.open(page.partition("?")[0], data=form, timeout=10) as answer:
            shown = answer.read().decode()
        return (re.findall(r"<code>(\d+)</code>", shown) or [""])[0], ""
    except urllib.error.HTTPError as sent:
        return "", sent.headers["Location"]
