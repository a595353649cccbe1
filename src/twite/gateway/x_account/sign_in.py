"""X sign-in (OAuth) for a pixel, from the request token to the stored credentials.

    begin    request a token from X → the page where the user authorizes the app
    finish   with the query of the callback, or with the PIN → checked, stored, in use
    paste    a pixel token → checked, stored, in use
    forget   delete stored credentials and, if requested, revoke them at X

Credentials that X refuses are not stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import parse_qs

import msgspec

from twite.domain.destination import Destination, OAuthKeys, PixelToken, XApp, emulator_token
from twite.domain.errors import RefusedByX, SettingsError, XUnanswering
from twite.domain.people.users import AuditAction, AuditEvent
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.ports.machine import Clock
from twite.gateway.x_account.credential_store import CredentialStore, StoredCredentials
from twite.gateway.x_account.inquiries import (
    AccessCheck,
    XInquiries,
    check_access,
    refused,
)
from twite.gateway.x_account.open_sign_ins import OpenSignIn, OpenSignIns, SignInsInMemory
from twite.x import sign_in
from twite.x.inquiry import InquiryRefusal, RefusalReason

# The names of these actions in the audit log.
DONE: Final = AuditAction.CONNECT_DONE
FORGOTTEN: Final = AuditAction.CONNECT_FORGET
_LONGEST_PIN: Final = 64
_NAMES: Final = {OAUTH: "OAuth credentials", PIXEL_TOKEN: "a pixel token"}


class SignInStarted(msgspec.Struct, frozen=True, kw_only=True):
    """An open sign-in.

    `page` is the URL for the user; `token` identifies the sign-in, and is not secret.
    """

    page: str
    token: str


class SignInCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """A completed sign-in, with stored credentials.

    `access` is None if X did not answer the access check.
    """

    pixel: str
    kind: str
    screen_name: str = ""
    access: AccessCheck | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class XSignIn:
    """The sign-in to X.

    Without a vault (no secret key), a sign-in cannot start, because credentials could not be
    stored. `destinations` are the pixels of the settings. `noted_as` is the user of this process,
    as named in the audit log, or None if the caller writes the audit events. Without
    `open_sign_ins`, open sign-ins are kept in memory.
    """

    inquiries: XInquiries
    clock: Clock
    credential_store: CredentialStore | None
    destinations: Mapping[str, Destination]
    noted_as: str | None = None
    open_sign_ins: OpenSignIns | None = None
    _open: OpenSignIns = field(init=False)

    def __post_init__(self) -> None:
        self._open = self.open_sign_ins or SignInsInMemory(clock=self.clock)

    async def begin(
        self, pixel: str, *, callback: str | None = None, by: str = ""
    ) -> SignInStarted:
        """Start a sign-in; without a `callback`, X shows a PIN to the user.

        `by` names the session that must finish it. Raises RefusedByX, XUnanswering, and
        SettingsError if the app, the key or the pixel is missing.
        """
        self._must_keep()
        self._must_be_used(pixel, OAUTH)
        app, oauth_url = self._app(), self.inquiries.address.oauth_url
        make = partial(sign_in.begin, app, callback, oauth_url=oauth_url)
        requested = await self.inquiries.ask(make, sign_in.begun, about=callback or "")
        await self._open.add(OpenSignIn(requested=requested, pixel=pixel, by=by))
        page = sign_in.page(requested, oauth_url=oauth_url)
        return SignInStarted(page=page, token=requested.token)

    async def finish_by_callback(self, query: str, *, by: str = "") -> SignInCompleted:
        """Finish a sign-in with the query string of the callback request.

        Raises RefusedByX, XUnanswering, NotOpened, LedgerUnavailable.
        """
        given = parse_qs(query[:4_096])
        token = (given.get("oauth_token") or given.get("denied") or [""])[0]
        began = await self._begun(token, by)
        verifier = sign_in.sent_back(query, began.requested)
        if isinstance(verifier, InquiryRefusal):
            raise refused(verifier)
        return await self._finish(began, verifier)

    async def finish_by_pin(self, token: str, pin: str, *, by: str = "") -> SignInCompleted:
        """Finish a sign-in with the PIN that X showed; `token` is that of SignInStarted.

        Raises the errors of finish_by_callback.
        """
        began = await self._begun(token, by)
        digits = "".join(pin.split())
        if not digits.isalnum() or not digits.isascii() or len(digits) > _LONGEST_PIN:
            raise refused(InquiryRefusal(reason=RefusalReason.VERIFIER_REFUSED))
        return await self._finish(began, digits)

    async def paste(self, pixel: str, token: PixelToken) -> SignInCompleted:
        """Store a pixel token, unless X refuses it. Raises the errors of finish_by_callback."""
        credential_store = self._must_keep()
        access = await self._checked(self._must_be_used(pixel, PIXEL_TOKEN), token)
        await credential_store.keep_pixel_token(
            pixel, token, audit_event=self._audit_event(DONE, pixel, PIXEL_TOKEN)
        )
        return SignInCompleted(pixel=pixel, kind=PIXEL_TOKEN, access=access)

    async def forget(self, pixel: str, kind: str, *, revoke: bool = False) -> bool:
        """Delete stored credentials of one kind; return whether there were any.

        With `revoke`, the OAuth token is also revoked at X, so it stops working wherever it is
        used. A token that X no longer knows is only deleted here. Raises RefusedByX, XUnanswering,
        NotOpened, LedgerUnavailable.
        """
        credential_store = self._must_keep()
        login = (await credential_store.all()).get(pixel, StoredCredentials())
        held = login.oauth if kind == OAUTH else login.pixel_token
        if held is None:
            return False
        detail = kind
        if revoke and isinstance(held, OAuthKeys):
            await self._revoke(held)
            detail = f"{kind}, revoked at X"
        await credential_store.forget(
            pixel, kind, audit_event=self._audit_event(FORGOTTEN, pixel, detail)
        )
        return True

    def _audit_event(self, what: str, pixel: str, detail: str) -> AuditEvent | None:
        if self.noted_as is None:
            return None
        now = self.clock.now()
        return AuditEvent(at=now, who=self.noted_as, what=what, subject=pixel, detail=detail)

    async def _revoke(self, keys: OAuthKeys) -> None:
        try:
            make = partial(sign_in.end, keys, oauth_url=self.inquiries.address.oauth_url)
            await self.inquiries.ask(make, sign_in.ended)
        except RefusedByX as error:
            if error.why != RefusalReason.TOKEN_REFUSED:
                raise

    async def _finish(self, opened: OpenSignIn, verifier: str) -> SignInCompleted:
        credential_store, app = self._must_keep(), self._app()
        # A sign-in can be finished only once, even if it fails.
        await self._open.end(opened.requested.token)
        oauth_url = self.inquiries.address.oauth_url
        make = partial(sign_in.finish, app, opened.requested, verifier, oauth_url=oauth_url)
        who = await self.inquiries.ask(make, partial(sign_in.finished, app))
        # Refused credentials are not stored. Nor are they revoked: X may give a user one token for
        # each app (an assumption; X does not say), so the token may be in use elsewhere.
        access = await self._checked(self._known(opened.pixel), who.keys)
        audit_event = self._audit_event(DONE, opened.pixel, f"{OAUTH} as @{who.screen_name}")
        await credential_store.keep_oauth(
            opened.pixel, who.keys, screen_name=who.screen_name, audit_event=audit_event
        )
        return SignInCompleted(
            pixel=opened.pixel, kind=OAUTH, screen_name=who.screen_name, access=access
        )

    async def _checked(
        self, destination: Destination, credentials: OAuthKeys | PixelToken
    ) -> AccessCheck | None:
        try:
            return await check_access(self.inquiries, destination, credentials)
        except XUnanswering:
            # Store the credentials although X did not answer: the first delivery will show whether
            # X accepts them.
            return None

    async def _begun(self, token: str, by: str) -> OpenSignIn:
        """Return the sign-in of the token, if the same session began it and it has not expired."""
        began = await self._open.get(token)
        if began is None or began.by != by:
            raise refused(InquiryRefusal(reason=RefusalReason.STRANGER))
        return began

    def _known(self, pixel: str) -> Destination:
        found = self.destinations.get(pixel)
        if found is None:
            raise SettingsError("pixel", f"there is no pixel {pixel!r}")
        return found

    def _must_be_used(self, pixel: str, kind: str) -> Destination:
        """Return the pixel. Raises SettingsError if the settings have credentials of this kind."""
        found = self._known(pixel)
        sort = OAuthKeys if kind == OAUTH else PixelToken
        if kind == PIXEL_TOKEN and found.credentials == emulator_token(pixel):
            raise SettingsError(
                f"pixel {pixel}",
                "needs no pixel token, because the settings send to the emulator, which "
                "has its own. To store X's token, first remove x.emulator from the settings",
            )
        if any(isinstance(credential, sort) for credential in (found.credentials, found.fallback)):
            raise SettingsError(
                f"the auth of pixel {pixel}",
                f"contains {_NAMES[kind]}, which overrides stored credentials. "
                "Remove it from the settings, restart the gateway, and try again",
            )
        return found

    def _app(self) -> XApp:
        app = self.inquiries.address.app
        if app is None:
            raise SettingsError(
                "x.consumer_key",
                "is missing: users sign in through your own app. Set x.consumer_key "
                "and x.consumer_secret to the values from X's developer console",
            )
        return app

    def _must_keep(self) -> CredentialStore:
        if self.credential_store is None:
            raise SettingsError(
                "server.secret_key",
                "is missing: Twite encrypts stored credentials, and cannot store any "
                'without a key. Set server.secret_key = "file:twite.secret" '
                "(twite init creates the file), or set TWITE_SECRET_KEY",
            )
        return self.credential_store
