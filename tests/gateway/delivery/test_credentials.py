"""Which of a pixel's two credentials is tried first, and how X's answers change that."""

import pytest
from msgspec.structs import replace

from builders import a_destination, a_destination_with_oauth
from fakes import MovingClock
from twite.domain.destination import MissingCredentials, OAuthKeys, PixelToken
from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import AGAIN, OAUTH, PIXEL_TOKEN, CredentialChooser, verdict
from twite.gateway.ports.transport import NoResponse, Response
from twite.gateway.x_account.credential_store import StoredCredentials

OLD = a_destination_with_oauth().credentials
NEW = PixelToken(token=Secret("a-new-token"))
BOTH = replace(a_destination(), credentials=NEW, fallback=OLD)
TAKEN = Response(status=200, headers={}, body=b"")
REFUSED = Response(status=401, headers={}, body=b"")
DELIVERED = Delivered(debug_id="d")
NOT_KNOWN = Rejected(scope=RejectionScope.PIXEL, reason="401")


class ChooserStage:
    def __init__(self, destination=BOTH):
        self.clock = MovingClock()
        self.seen = []
        self.credential_chooser = CredentialChooser(destination, clock=self.clock, observer=self)

    def see(self, notice) -> None:
        self.seen.append(notice)

    def order(self) -> list[str]:
        return [
            OAUTH if isinstance(destination.credentials, OAuthKeys) else PIXEL_TOKEN
            for destination in self.credential_chooser.order()
        ]

    def reported(self, kind: str, came, outcome) -> bool:
        credentials = OLD if kind == OAUTH else NEW
        asked = replace(BOTH, credentials=credentials, fallback=None)
        return self.credential_chooser.record(asked, came, outcome)


def test_new_credentials_are_tried_first():
    assert ChooserStage().order() == [PIXEL_TOKEN, OAUTH]


def test_pixel_with_one_kind_of_credentials_has_no_fallback():
    assert ChooserStage(a_destination()).order() == [PIXEL_TOKEN]


def test_refused_new_credentials_become_the_fallback_for_a_while():
    stage = ChooserStage()

    refused = stage.reported(PIXEL_TOKEN, REFUSED, NOT_KNOWN)

    assert (refused, stage.order()) == (True, [OAUTH, PIXEL_TOKEN])


async def test_refused_new_credentials_are_tried_again_later():
    stage = ChooserStage()
    stage.reported(PIXEL_TOKEN, REFUSED, NOT_KNOWN)

    await stage.clock.advance(AGAIN)

    assert stage.order() == [PIXEL_TOKEN, OAUTH]


def test_changed_credentials_forget_earlier_refusals():
    stage = ChooserStage()
    stage.reported(PIXEL_TOKEN, REFUSED, NOT_KNOWN)

    stage.credential_chooser.use(replace(BOTH, credentials=PixelToken(token=Secret("another"))))

    assert stage.order() == [PIXEL_TOKEN, OAUTH]


def test_response_to_old_credentials_does_not_count_for_new_ones():
    stage = ChooserStage()
    stage.credential_chooser.use(replace(BOTH, credentials=PixelToken(token=Secret("another"))))

    stage.reported(PIXEL_TOKEN, REFUSED, NOT_KNOWN)

    assert (stage.order(), stage.seen) == ([PIXEL_TOKEN, OAUTH], [])


def test_each_response_is_recorded_and_changes_are_marked():
    stage = ChooserStage()

    for came, outcome in ((TAKEN, DELIVERED), (TAKEN, DELIVERED), (REFUSED, NOT_KNOWN)):
        stage.reported(PIXEL_TOKEN, came, outcome)

    assert [(notice.taken, notice.turned) for notice in stage.seen] == [
        (True, True),
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("came", "outcome", "expected"),
    [
        (TAKEN, DELIVERED, True),
        (REFUSED, NOT_KNOWN, False),
        (Response(status=403, headers={}, body=b""), NOT_KNOWN, False),
        (Response(status=404, headers={}, body=b""), NOT_KNOWN, False),
        (Response(status=400, headers={}, body=b""), NOT_KNOWN, None),
        (
            Response(status=404, headers={}, body=b""),
            Rejected(scope=RejectionScope.EVENT, reason="NOT_FOUND"),
            None,
        ),
        (
            Response(status=400, headers={}, body=b""),
            Rejected(scope=RejectionScope.CONVERSION, reason="INVALID_PARAMETER"),
            None,
        ),
        (
            Response(status=503, headers={}, body=b""),
            Errored(reason="503", ambiguous=True),
            None,
        ),
        (
            NoResponse(reason="no answer in time", left=True),
            Errored(reason="no answer in time", ambiguous=True),
            None,
        ),
    ],
)
def test_only_responses_about_authentication_count_for_credentials(came, outcome, expected):
    assert verdict(came, outcome) is expected


WRITTEN = a_destination()
UNSIGNED = replace(WRITTEN, credentials=MissingCredentials())


@pytest.mark.parametrize(
    ("written", "login", "first", "second"),
    [
        (UNSIGNED, StoredCredentials(), MissingCredentials(), None),
        (UNSIGNED, StoredCredentials(oauth=OLD), OLD, None),
        (UNSIGNED, StoredCredentials(pixel_token=NEW), NEW, None),
        (UNSIGNED, StoredCredentials(oauth=OLD, pixel_token=NEW), NEW, OLD),
        (WRITTEN, StoredCredentials(pixel_token=NEW), WRITTEN.credentials, None),
        (WRITTEN, StoredCredentials(oauth=OLD), WRITTEN.credentials, OLD),
        (replace(WRITTEN, credentials=OLD), StoredCredentials(pixel_token=NEW), NEW, OLD),
        (replace(WRITTEN, credentials=OLD), StoredCredentials(), OLD, None),
        (BOTH, StoredCredentials(oauth=OLD, pixel_token=NEW), NEW, OLD),
    ],
)
def test_credentials_in_the_settings_override_stored_ones_of_the_same_kind(
    written, login, first, second
):
    given = login.given_to(written)

    assert (given.credentials, given.fallback) == (first, second)
