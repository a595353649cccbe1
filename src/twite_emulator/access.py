"""Authenticate and authorize a request: 401, then 403, then 404."""

from typing import Final, get_args

from msgspec import Struct

from twite_emulator import oauth, spec
from twite_emulator.exchange import Problem, XAnswer, XRequestReceived, refusal
from twite_emulator.state import EmulatedState
from twite_emulator.switches import Switches
from twite_emulator.world import EmulatedPixel, EmulatedUser, Permission

PIXEL_TOKEN = "pixel_token"  # noqa: S105 - the name of an authentication method
OAUTH = "oauth"
ANY_ROLE: Final[tuple[str, ...]] = get_args(Permission)


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated caller. A pixel token has no user."""

    auth: str
    user: EmulatedUser | None = None


class Denied(Struct, frozen=True, kw_only=True):
    answer: XAnswer
    why: str
    auth: str | None = None


def admit(request: XRequestReceived, pixel_id: str, state: EmulatedState) -> Caller | Denied:
    """Check the credentials of a conversions request."""
    if "authorization" in request.headers:
        return admit_signed(request, state)
    given = request.headers.get(spec.PIXEL_TOKEN_HEADER.lower())
    if given is None:
        return Denied(answer=_unauthorized(), why="neither OAuth nor a pixel token")
    if not state.switches.pixel_token_enabled:
        why = "pixel tokens are switched off"
    elif _token_fits(given, pixel_id, state):
        return Caller(auth=PIXEL_TOKEN)
    else:
        why = "no such pixel token for this pixel, or it has expired"
    return Denied(answer=_token_refusal(state.switches), why=why, auth=PIXEL_TOKEN)


def admit_signed(
    request: XRequestReceived, state: EmulatedState, *, refused: tuple[str, ...] = ("none",)
) -> Caller | Denied:
    """Check an OAuth signature, then whether the app may use the Ads API.

    Apps whose access is in `refused` may not.
    """
    try:
        signed = oauth.verify(request, state)
    except oauth.UnsignedError as error:
        return Denied(answer=_unauthorized(), why=error.why, auth=OAUTH)
    if signed.app.access in refused:
        message = spec.NO_API_ACCESS.format(app_id=signed.app.id)
        problem = Problem(spec.UNAUTHORIZED_CLIENT_APPLICATION, message)
        return Denied(answer=refusal(403, problem), why="app without access", auth=OAUTH)
    return Caller(auth=OAUTH, user=signed.user)


def admit_reader(
    request: XRequestReceived, account: str | None, state: EmulatedState
) -> Caller | Denied:
    """Check the credentials of a request for campaigns or statistics of an account.

    X documents pixel tokens for conversions only, so that they are refused by default. [guess]
    """
    given = request.headers.get(spec.PIXEL_TOKEN_HEADER.lower())
    if given is not None and "authorization" not in request.headers:
        own = [pixel for pixel in state.world.pixels.values() if pixel.account == account]
        if state.switches.pixel_token_analytics and any(
            pixel.token == given and _is_fresh(pixel, state) for pixel in own
        ):
            return Caller(auth=PIXEL_TOKEN)
        why = "a pixel token gives no access to campaigns and statistics"
        return Denied(answer=_token_refusal(state.switches), why=why, auth=PIXEL_TOKEN)
    strict = state.switches.analytics_access == "standard"
    return admit_signed(request, state, refused=("none", "conversion_only")[: 1 + strict])


def _token_fits(given: str, pixel_id: str, state: EmulatedState) -> bool:
    pixel = state.world.pixels.get(pixel_id)
    if pixel is None:
        return False
    account_wide = state.switches.pixel_token_scope == "account"  # noqa: S105 - a choice
    return any(
        issued.token == given and _is_fresh(issued, state)
        for issued in state.world.pixels.values()
        if issued.id == pixel.id or (account_wide and issued.account == pixel.account)
    )


def _is_fresh(pixel: EmulatedPixel, state: EmulatedState) -> bool:
    if not state.switches.pixel_token_ttl:
        return True
    issued = state.started_at if pixel.token_issued_at is None else pixel.token_issued_at
    return state.signed_at - issued <= state.switches.pixel_token_ttl


def _token_refusal(switches: Switches) -> XAnswer:
    match switches.pixel_token_error:
        case "empty":
            return XAnswer(status=401)
        case "html":
            html = (("content-type", "text/html"),)
            return XAnswer(status=401, body=b"<html>Unauthorized</html>", headers=html)
        case "generic":
            return _unauthorized()


def _unauthorized() -> XAnswer:
    return refusal(401, Problem(spec.UNAUTHORIZED_ACCESS, spec.NOT_AUTHENTICATED))


def refuse_account(
    user: EmulatedUser | None, account: str, *, roles: tuple[str, ...] = spec.MANAGING_ROLES
) -> XAnswer | None:
    """Return a 404 if the user has none of `roles` on the account, otherwise None."""
    if user is None or any(role in roles for role in user.roles.get(account, ())):
        return None
    message = spec.NO_ACCOUNT_ACCESS.format(user_id=user.id, account_id=account)
    return refusal(404, Problem(spec.NOT_FOUND, message), account_id=account)
