"""What signs people in, at an emulated X, with a vault of its own."""

from msgspec.structs import replace

from twite.domain.destination import App, NotSignedIn
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
from x_page import CONSUMER_KEY, CONSUMER_SECRET

ACCOUNT = "18ce54d4x5t"
APP = App(consumer_key=CONSUMER_KEY, consumer_secret=Secret(CONSUMER_SECRET))


class House:
    """Who signs in, with a vault of its own. `clock` is what sign-ins grow old by."""

    def __init__(self, url: str, *, app: App | None = APP, account: str | None = ACCOUNT):
        self.clock = MovingClock()
        self.vault = MemoryVault()
        self.logins = Logins(
            Strongroom(vault=self.vault, seal=AesSeal(Secret("a-key-that-nobody-will-guess")))
        )
        pixel = replace(a_destination(), credentials=NotSignedIn(), account=account)
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
