"""Messages for X's refusals (sign-in, credentials, roles): what happened, and what to do."""

from types import MappingProxyType
from typing import Final, NamedTuple

from twite.x import spec
from twite.x.inquiry import InquiryRefusal, RefusalReason

APPLY_AT: Final = "help.x.com/en/forms/xdev/conversion-api-request"  # [doc FUND, CM]


class RejectionMessage(NamedTuple):
    """The fact, and the cure. `{about}` is the account, user or address concerned."""

    fact: str
    cure: str


_ROLES: Final = " or ".join(spec.MANAGING_ROLES)
_WORDS: Final = MappingProxyType(
    {
        RefusalReason.APP_UNKNOWN: RejectionMessage(
            fact="X does not know the app",
            cure="x.consumer_key and x.consumer_secret must be the API key and secret that X's "
            "developer console shows for the app: copy both again",
        ),
        RefusalReason.CALLBACK_REFUSED: RejectionMessage(
            fact="X does not send anybody back to {about}",
            cure="Add that address, exactly as it is, to the app's callback URLs in X's developer "
            "console, or sign in with a PIN",
        ),
        RefusalReason.DENIED: RejectionMessage(
            fact="the sign-in was cancelled at X",
            cure="Nothing was stored. To sign in, begin again and press Authorize app",
        ),
        RefusalReason.STRANGER: RejectionMessage(
            fact="the response from X belongs to no sign-in that was started here",
            cure="It may have been too slow, or finished in another browser. Begin again",
        ),
        RefusalReason.VERIFIER_REFUSED: RejectionMessage(
            fact="X does not take the PIN",
            cure="A PIN works once, for a few minutes. Begin again, and type all its digits",
        ),
        RefusalReason.TOKEN_REFUSED: RejectionMessage(
            fact="X does not take the credentials{of}",
            cure="They were revoked or regenerated at X, are cut off, belong to two apps, or are "
            "older than the app's approval for the Ads API. Sign in again with twite login, "
            "or put new "
            "ones into the settings",
        ),
        RefusalReason.APP_UNAPPROVED: RejectionMessage(
            fact="X has not approved the app for its Ads API",
            cure=f"Apply at {APPLY_AT} (up to three working days; “Conversion Only” is enough to "
            "send), and sign in again afterwards: X refuses tokens from before the approval",
        ),
        RefusalReason.NO_ROLE: RejectionMessage(
            fact="the user has no access to {about}, or it does not exist",
            cure=f"An admin of the ads account must give the user the role {_ROLES} (ads.x.com, "
            "Edit access to account); or sign in as somebody who has it. Also check pixel.account",
        ),
        RefusalReason.WRONG_ROLE: RejectionMessage(
            fact="the user's roles{of} are not enough",
            cure=f"Conversions need {_ROLES}. An admin of the ads account can give it (ads.x.com, "
            "Edit access to account); or sign in as somebody who has it",
        ),
        RefusalReason.PIXEL_TOKEN_REFUSED: RejectionMessage(
            fact="X does not take this pixel token{of}",
            cure="Copy it again from X's Events Manager (the pixel, Install Pixel, Manual, "
            "Conversion API, Generate access token), and make sure that it belongs to this pixel",
        ),
        RefusalReason.NO_EVENT: RejectionMessage(
            fact="there is no such event in the account",
            cure="twite events list shows the events",
        ),
        RefusalReason.NOT_LIKE_THAT: RejectionMessage(
            fact="X does not take that", cure="Change what X names"
        ),
        RefusalReason.UNREADABLE: RejectionMessage(
            fact="X's response is not one that it documents",
            cure="Check that x.api_url and x.oauth_url are X's, and try again later",
        ),
    }
)


def rejection_message(refusal: InquiryRefusal, *, about: str = "", off: int = 0) -> tuple[str, str]:
    """Return (what happened, what to do). `off`: seconds that X's clock is ahead."""
    fact, cure = _WORDS[refusal.why]
    reason = fact.format(about=about or "the account", of=f" for {about}" if about else "")
    answer = f"{refusal.status or ''} {refusal.said}".strip()
    if answer:
        reason = f"{reason} ({answer})"
    if refusal.status == 401 and abs(off) > spec.OAUTH_WINDOW_SECONDS:
        cure = f"This clock is {abs(off)} s from X's, which then refuses signatures: set it"
    return reason, cure
