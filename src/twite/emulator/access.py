"""Authenticate and authorize a request: 401, then 403, then 404."""

from msgspec import Struct

from twite.emulator import oauth
from twite.emulator.exchange import Problem, XAnswer, XRequestReceived, refusal
from twite.emulator.switches import Switches
from twite.emulator.world import EmulatedApp, EmulatedPixel, EmulatedUser, World
from twite.x import spec

PIXEL_TOKEN = "pixel_token"  # noqa: S105 - the name of a way to authenticate
OAUTH = "oauth"


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated caller. A pixel token has no user and no app."""

    auth: str
    user: EmulatedUser | None = None
    app: EmulatedApp | None = None


class Denied(Struct, frozen=True, kw_only=True):
    answer: XAnswer
    why: str
    auth: str | None = None


class AccessControl(Struct, frozen=True, kw_only=True):
    """The data for authenticating a caller. Times are epoch seconds."""

    world: World
    switches: Switches
    nonces: oauth.NonceWindow
    at: float  # for the signature's timestamp, which a fault can shift
    started_at: float

    def admit(self, request: XRequestReceived, pixel_id: str) -> Caller | Denied:
        """Check the credentials of a conversions request."""
        if "authorization" in request.headers:
            return self.admit_signed(request)
        given = request.headers.get(spec.PIXEL_TOKEN_HEADER.lower())
        if given is None:
            return Denied(answer=unauthorized(), why="neither OAuth nor a pixel token")
        if not self.switches.pixel_token_enabled:
            why = "pixel tokens are switched off"
        elif self._token_fits(given, pixel_id):
            return Caller(auth=PIXEL_TOKEN)
        else:
            why = "no such pixel token for this pixel, or it has expired"
        return Denied(answer=self._token_refusal(), why=why, auth=PIXEL_TOKEN)

    def admit_signed(self, request: XRequestReceived) -> Caller | Denied:
        """Check an OAuth signature, then whether the app may use the Ads API."""
        try:
            signed = oauth.verify(
                request,
                world=self.world,
                nonces=self.nonces,
                at=self.at,
                window=self.switches.oauth_window,
            )
        except oauth.UnsignedError as error:
            return Denied(answer=unauthorized(), why=error.why, auth=OAUTH)
        if signed.app.access == "none":
            message = spec.NO_API_ACCESS.format(app_id=signed.app.id)
            problem = Problem(spec.UNAUTHORIZED_CLIENT_APPLICATION, message)
            return Denied(answer=refusal(403, problem), why="app without access", auth=OAUTH)
        return Caller(auth=OAUTH, user=signed.user, app=signed.app)

    def _token_fits(self, given: str, pixel_id: str) -> bool:
        pixel = self.world.pixels.get(pixel_id)
        if pixel is None:
            return False
        account_wide = self.switches.pixel_token_scope == "account"  # noqa: S105 - a choice
        return any(
            issued.token == given and self._is_fresh(issued)
            for issued in self.world.pixels.values()
            if issued.id == pixel.id or (account_wide and issued.account == pixel.account)
        )

    def _is_fresh(self, pixel: EmulatedPixel) -> bool:
        if not self.switches.pixel_token_ttl:
            return True
        issued = self.started_at if pixel.token_issued_at is None else pixel.token_issued_at
        return self.at - issued <= self.switches.pixel_token_ttl

    def _token_refusal(self) -> XAnswer:
        match self.switches.pixel_token_error:
            case "empty":
                return XAnswer(status=401)
            case "html":
                html = (("content-type", "text/html"),)
                return XAnswer(status=401, body=b"<html>Unauthorized</html>", headers=html)
            case "generic":
                return unauthorized()


def unauthorized() -> XAnswer:
    return refusal(401, Problem(spec.UNAUTHORIZED_ACCESS, spec.NOT_AUTHENTICATED))


def refuse_account(
    user: EmulatedUser | None, account: str, *, roles: tuple[str, ...] = spec.MANAGING_ROLES
) -> XAnswer | None:
    """Return a 404 if the user has none of `roles` on the account, otherwise None."""
    if user is None or any(role in roles for role in user.roles.get(account, ())):
        return None
    message = spec.NO_ACCOUNT_ACCESS.format(user_id=user.id, account_id=account)
    return refusal(404, Problem(spec.NOT_FOUND, message), account_id=account)
