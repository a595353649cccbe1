"""A gateway with its console, as `twite serve` assembles it, and simulated browsers."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Self

import aiohttp
import msgspec

from fakes import PlainPasswords
from free_port import free_port
from twite.app.gateway import RunningGateway
from twite.app.gateway_builder import start_gateway
from twite.app.store_access import open_staff
from twite.config.settings import load
from twite.console.page import PageRoute
from twite.diagnostics import examine
from twite.domain.people.users import Role
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.store import Store

PASSWORD = "a sentence that does well"
SETTINGS = """
[server]
listen = "127.0.0.1:0"
local_listen = "127.0.0.1:{local}"
public_url = "https://t.shop.example"
trusted_proxies = ["127.0.0.9/32"]
secret_key = "{secret}"
[console]
networks = ["127.0.0.0/8", "203.0.113.0/24"]
[store]
url = "sqlite:twite.db"
[x]
api_url = "{x}"
oauth_url = "{x}"
consumer_key = "xvz1evFS4wEEPTGEFPHBog"
consumer_secret = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
[log]
level = "error"
[[pixel]]
id = "o8z6j"
account = "18ce54d4x5t"
events = {{ purchase = "o8z6k", sign_up = "o8z6m" }}
[pixel.auth]
consumer_key = "xvz1evFS4wEEPTGEFPHBog"
consumer_secret = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"
token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
[[pixel]]
id = "o6dkt"
auth = {{ pixel_token = "emulator-pixel-token-o6dkt" }}
events = {{ purchase = "o6dkv" }}
[[source]]
name = "shop"
key = "a-source-key-of-some-length"
pixel = "o8z6j"
[[pixel]]
id = "o9a7k"
events = {{ purchase = "o9a7p" }}
[[source]]
name = "client"
key = "another-source-key-of-some-length"
pixel = "o6dkt"
"""
# The users: their role, and the pixels that they see.
PEOPLE: Mapping[str, tuple[Role, Sequence[str] | None]] = {
    "ada": (Role.ADMIN, None),
    "olga": (Role.OPERATOR, None),
    "vic": (Role.VIEWER, None),
    "client": (Role.VIEWER, ["o6dkt"]),
}


class BrowserResponse(msgspec.Struct, frozen=True):
    status: int
    text: str
    headers: Mapping[str, str]
    cookies: SimpleCookie

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


class SimulatedBrowser:
    """A client that keeps cookies and submits the forms of a page."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies: dict[str, str] = {}
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def ask(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] = {}
    ) -> BrowserResponse:
        said = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        async with self._http.request(
            method, self.url + path, data=body, headers=said | headers, allow_redirects=False
        ) as answer:
            text = (await answer.read()).decode(errors="surrogateescape")
            for name, morsel in answer.cookies.items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
            held = {key.lower(): value for key, value in answer.headers.items()}
            return BrowserResponse(answer.status, text, held, answer.cookies)

    async def get(self, path: str, **headers: str) -> BrowserResponse:
        return await self.ask("GET", path, headers=headers)

    async def post(
        self, path: str, fields: object = (), *, headers: Mapping[str, str] = {}
    ) -> BrowserResponse:
        """Send a form with the token from a console page."""
        page = await self.get("/console/account")
        if page.status == 303:
            page = await self.get("/console/sign-in")
        token = form_token(page.text)
        pairs = fields.items() if isinstance(fields, dict) else fields
        body = aiohttp.FormData([("form_token", token), *pairs])
        return await self.ask("POST", path, body=body, headers={"Origin": self.url} | headers)

    async def sign_in(self, name: str, password: str = PASSWORD, **more: str) -> BrowserResponse:
        self.cookies.clear()
        return await self.post(
            "/console/sign-in", {"name": name, "password": password, "code": "", **more}
        )


class ConsoleStage:
    """A gateway on a socket, and users who may sign in.

    Their passwords are stored in plain text unless `passwords` says otherwise: Argon2id costs 0.2 s
    of CPU for each.
    """

    def __init__(
        self,
        folder: Path,
        settings: str = SETTINGS,
        *,
        passwords: Passwords | None = None,
        **said: str,
    ) -> None:
        self.folder = folder
        path = folder / "twite.toml"
        local = str(free_port())
        values = {"secret": "a-key-that-seals-secrets", "x": "http://127.0.0.1:9", "local": local}
        values |= said
        path.write_text(settings.format_map(values))
        self.settings = load(path, {})
        self.passwords = passwords or PlainPasswords()
        self._gateway: RunningGateway | None = None
        self._visitors: list[SimulatedBrowser] = []

    async def start(
        self, *, people: Mapping[str, tuple[Role, Sequence[str] | None]] = PEOPLE
    ) -> None:
        if people:
            async with open_staff(self.settings, passwords=self.passwords) as user_accounts:
                for name, (role, pixels) in people.items():
                    await user_accounts.add(
                        name, role=role, password=PASSWORD, pixels=pixels, by="test"
                    )
        self._gateway = await start_gateway(
            self.settings,
            passwords=self.passwords,
            examine=partial(examine, self.settings.path, {}),
        )

    async def stop(self) -> None:
        for visitor in self._visitors:
            await visitor.close()
        await self.gateway.stop()

    @property
    def gateway(self) -> RunningGateway:
        assert self._gateway is not None
        return self._gateway

    @property
    def store(self) -> Store:
        """The store of the running gateway, to write what its monitor would change at a start."""
        return self.gateway._parts.store  # noqa: SLF001

    @property
    def routes(self) -> Sequence[PageRoute]:
        return self.gateway.console.opened().routes

    @property
    def url(self) -> str:
        """The console's URL on this machine."""
        local = self.settings.server.local_listen
        return self.gateway.url if local is None else f"http://{local}"

    def browser(self) -> SimulatedBrowser:
        """Return a browser of this machine."""
        visitor = SimulatedBrowser(self.url)
        self._visitors.append(visitor)
        return visitor

    async def signed_in(self, name: str) -> SimulatedBrowser:
        visitor = self.browser()
        assert (await visitor.sign_in(name)).status == 303
        return visitor


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    return found[1] if found else ""
