"""A sign-in service with its own secrets, and an emulated X."""

from urllib.parse import urlsplit

from msgspec.structs import replace

from builders import a_destination
from fakes import MovingClock
from memory_store.state import MemoryState
from twite.domain.destination import MissingCredentials, XApp
from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.transport import NoResponse, Response
from twite.gateway.x_account.credential_store import CredentialStore
from twite.gateway.x_account.inquiries import XInquiries, XInquiryAddress
from twite.gateway.x_account.sign_in import XSignIn
from twite.machine.seal import AesSeal
from twite.machine.system import SystemClock, SystemRandomness
from twite.senders.inquiries import HttpInquiries
from twite.x.inquiry import Inquiry
from x_page import CONSUMER_KEY, CONSUMER_SECRET, answer_the_page

ACCOUNT = "18ce54d4x5t"
APP = XApp(consumer_key=CONSUMER_KEY, consumer_secret=Secret(CONSUMER_SECRET))


class SignInStage:
    """A sign-in service with its own secrets. `clock` determines the age of sign-ins."""

    def __init__(
        self,
        url: str,
        *,
        app: XApp | None = APP,
        account: str | None = ACCOUNT,
        noted_as: str | None = None,
    ):
        self.clock = MovingClock()
        self.state = MemoryState()
        self.secret_store = SecretStore(
            state=self.state, seal=AesSeal(Secret("a-key-that-nobody-will-guess"))
        )
        self.logins = CredentialStore(self.secret_store)
        self.asked: list[str] = []  # the paths of the requests to X
        self._way = HttpInquiries(timeout=5_000)
        pixel = replace(a_destination(), credentials=MissingCredentials(), account=account)
        self.asks = XInquiries(
            inquiries=self,
            clock=SystemClock(),
            randomness=SystemRandomness(),
            address=XInquiryAddress(api_url=url, oauth_url=url, version="12", app=app),
        )
        self.connect = XSignIn(
            inquiries=self.asks,
            clock=self.clock,
            credential_store=self.logins,
            destinations={pixel.pixel: pixel},
            noted_as=noted_as,
        )

    async def ask(self, inquiry: Inquiry) -> Response | NoResponse:
        """Send a request to X, and record it."""
        self.asked.append(urlsplit(inquiry.url).path)
        return await self._way.ask(inquiry)


async def by_pin(stage: SignInStage, **choice: str):
    """Complete a sign-in for the pixel; `choice` is the button to press."""
    begun = await stage.connect.begin("o8z6j")
    pin, _ = answer_the_page(begun.page, **choice)
    return await stage.connect.finish_by_pin(begun.token, pin)
