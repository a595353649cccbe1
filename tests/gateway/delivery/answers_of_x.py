import os

from fakes import conversions_of, refused, taken
from twite.domain.times import SECOND
from twite.gateway.ports.transport import NoResponse, Response

BAD, GOOD = "o8z6m", "o8z6k"
NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")
NOT_YOU = ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", "")
HTML = b"<html><h1>Forbidden</h1></html>"


def page(status):
    return Response(status=status, headers={}, body=HTML)


ANSWERS = {
    "400": refused(NO_IDENTIFIER),
    "400 in HTML": page(400),
    "401": refused(NOT_YOU, status=401),
    "401 in HTML": page(401),
    "403 in HTML": page(403),
    "403": refused(("UNAUTHORIZED_CLIENT_APPLICATION", "no", ""), status=403),
    "404": refused(("ROUTE_NOT_FOUND", "no", ""), status=404),
    "302": page(302),
    "410": page(410),
    "500": refused(("INTERNAL_ERROR", "no", ""), status=500),
    "hang": NoResponse(reason="no answer in time", left=True),
}


def x_with(setting, is_bad, answer, *, took=50):
    """Make X give this response to each request with an invalid conversion."""

    async def post(outbound):
        setting.transport.sent.append(outbound)
        bad = any(is_bad(conversion) for conversion in conversions_of(outbound))
        hangs = bad and isinstance(answer, NoResponse)
        await setting.clock.sleep(30 * SECOND if hangs else took)
        return answer if bad else taken(outbound)

    setting.transport.post = post


# Every kind of answer of X to a single conversion; the long trial uses all of them.
ALONE = [answer for answer in ANSWERS if answer not in {"400", "500", "hang"}]
if os.environ.get("TWITE_TRIAL") != "1":
    ALONE = ["401", "403 in HTML", "302"]
