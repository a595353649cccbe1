"""Sign-in to X with the emulator, from the first request to the stored credentials."""

import pytest
from sign_in_stage import ACCOUNT, APP, SignInStage, by_pin

from twite.domain.destination import PixelToken, XApp
from twite.domain.errors import RefusedByX, SettingsError
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.ports.state import SealedSecret
from twite.gateway.x_account.inquiries import AccessCheck
from twite.gateway.x_account.open_sign_ins import MOST_OPEN, PATIENCE, SealedSignIns
from twite.gateway.x_account.sign_in import XSignIn
from x_page import CALLBACK, answer_the_page

OTHER_ROLE = {"id": "370773112", "roles": {ACCOUNT: ["ANALYST"]}}
NO_ROLE = {"id": "370773112", "roles": {"18ce552mlaq": ["ACCOUNT_ADMIN"]}}
UNAPPROVED = {"id": "3213", "access": "none"}
TOKEN = PixelToken(token=Secret("emulator-pixel-token-o8z6j"))


async def test_sign_in_with_a_pin_stores_the_credentials(x_emulator):
    stage = SignInStage(x_emulator.url)

    connected = await by_pin(stage)

    login = (await stage.logins.all())["o8z6j"]
    assert connected.screen_name == login.screen_name == "example_ads"
    assert connected.access == AccessCheck(
        account=ACCOUNT, roles=("ACCOUNT_ADMIN", "TWEET_COMPOSER")
    )
    assert login.oauth.consumer_key == APP.consumer_key


async def test_sign_in_with_a_callback_stores_the_credentials(x_emulator):
    stage = SignInStage(x_emulator.url)
    begun = await stage.connect.begin("o8z6j", callback=CALLBACK, by="session-1")
    _, sent_to = answer_the_page(begun.page)

    connected = await stage.connect.finish_by_callback(sent_to.partition("?")[2], by="session-1")

    assert sent_to.startswith(CALLBACK)
    assert connected.screen_name == "example_ads"
    assert (await stage.logins.all())["o8z6j"].oauth is not None


async def test_sign_in_cannot_be_finished_in_another_session(x_emulator):
    stage = SignInStage(x_emulator.url)
    begun = await stage.connect.begin("o8z6j", callback=CALLBACK, by="session-1")
    _, sent_to = answer_the_page(begun.page)

    with pytest.raises(RefusedByX) as refused:
        await stage.connect.finish_by_callback(sent_to.partition("?")[2], by="session-2")

    assert refused.value.why == "stranger"
    assert await stage.logins.all() == {}


async def test_expired_sign_in_must_be_started_again(x_emulator):
    stage = SignInStage(x_emulator.url)
    begun = await stage.connect.begin("o8z6j")
    pin, _ = answer_the_page(begun.page)
    await stage.clock.advance(PATIENCE + 1)

    with pytest.raises(RefusedByX, match="does not match a sign-in that was started here"):
        await stage.connect.finish_by_pin(begun.token, pin)


async def test_sign_in_can_be_finished_once(x_emulator):
    stage = SignInStage(x_emulator.url)
    begun = await stage.connect.begin("o8z6j", callback=CALLBACK)
    _, sent_to = answer_the_page(begun.page)
    query = sent_to.partition("?")[2]
    await stage.connect.finish_by_callback(query)

    with pytest.raises(RefusedByX) as refused:
        await stage.connect.finish_by_callback(query)

    assert refused.value.why == "stranger"


def shared(stage):
    """Return the sign-in of another gateway on the same store."""
    return XSignIn(
        inquiries=stage.asks,
        clock=stage.clock,
        credential_store=stage.logins,
        destinations=stage.connect.destinations,
        open_sign_ins=SealedSignIns(secret_store=stage.secret_store, clock=stage.clock),
    )


async def test_another_gateway_can_finish_a_sign_in_once_for_the_same_session(x_emulator):
    stage = SignInStage(x_emulator.url)
    first, second = shared(stage), shared(stage)
    begun = await first.begin("o8z6j", callback=CALLBACK, by="session-1")
    (kept,) = await stage.state.load(SealedSecret)
    _, sent_to = answer_the_page(begun.page)
    query = sent_to.partition("?")[2]

    with pytest.raises(RefusedByX, match="does not match a sign-in"):
        await second.finish_by_callback(query, by="session-2")
    connected = await second.finish_by_callback(query, by="session-1")
    with pytest.raises(RefusedByX, match="does not match a sign-in"):
        await first.finish_by_callback(query, by="session-1")

    assert connected.screen_name == "example_ads"
    assert begun.token not in kept.name
    assert begun.token.encode() not in kept.sealed
    assert [secret.name for secret in await stage.state.load(SealedSecret)] == ["login/o8z6j/oauth"]


async def test_stored_sign_ins_expire_and_are_deleted(x_emulator):
    stage = SignInStage(x_emulator.url)
    sign_in = shared(stage)
    begun = await sign_in.begin("o8z6j")
    pin, _ = answer_the_page(begun.page)
    await stage.clock.advance(PATIENCE + 1)

    with pytest.raises(RefusedByX, match="does not match a sign-in"):
        await sign_in.finish_by_pin(begun.token, pin)
    await sign_in.begin("o8z6j")

    assert len(await stage.state.load(SealedSecret)) == 1


@pytest.mark.parametrize("make", [lambda stage: stage.connect, shared])
async def test_number_of_open_sign_ins_is_limited(x_emulator, make):
    stage = SignInStage(x_emulator.url)
    sign_in = make(stage)
    began = []
    for _ in range(MOST_OPEN + 1):
        began.append(await sign_in.begin("o8z6j"))
        await stage.clock.advance(1)
    pins = [answer_the_page(begun.page)[0] for begun in began[:2]]

    with pytest.raises(RefusedByX, match="does not match a sign-in"):
        await sign_in.finish_by_pin(began[0].token, pins[0])
    assert (await sign_in.finish_by_pin(began[1].token, pins[1])).screen_name == "example_ads"


@pytest.mark.parametrize(
    ("world", "account", "said"),
    [
        (
            {"users": [OTHER_ROLE]},
            ACCOUNT,
            "The user's roles for ads account 18ce54d4x5t are not sufficient (ANALYST). ",
        ),
        (
            {"users": [NO_ROLE]},
            ACCOUNT,
            "The user has no access to ads account 18ce54d4x5t, or it does not exist (404 NOT",
        ),
        (
            {"users": [NO_ROLE]},
            None,
            "The user has no access to pixel o8z6j, or it does not exist (404 NOT_FOUND: ",
        ),
        (
            {"apps": [UNAPPROVED]},
            ACCOUNT,
            "X has not approved the app for its Ads API (403 UNAUTHORIZED_CLIENT_APPLICATION: ",
        ),
        (
            {"apps": [UNAPPROVED]},
            None,
            "X has not approved the app for its Ads API (403 UNAUTHORIZED_CLIENT_APPLICATION: ",
        ),
    ],
)
async def test_missing_permission_is_explained_and_nothing_stored(x_emulator, world, account, said):
    x_emulator.add(**world)
    stage = SignInStage(x_emulator.url, account=account)

    with pytest.raises(RefusedByX) as refused:
        await by_pin(stage)

    assert str(refused.value).startswith(said)
    assert await stage.logins.all() == {}


async def test_denied_sign_in_is_explained_and_nothing_stored(x_emulator):
    stage = SignInStage(x_emulator.url)
    begun = await stage.connect.begin("o8z6j", callback=CALLBACK)
    _, sent_to = answer_the_page(begun.page, deny="1")

    with pytest.raises(RefusedByX) as refused:
        await stage.connect.finish_by_callback(sent_to.partition("?")[2])

    assert str(refused.value) == (
        "The sign-in was cancelled at X. Nothing was stored. To sign in, start again and "
        "choose Authorize app"
    )


@pytest.mark.parametrize("pin", ["0000000", "", "12 34\n", "'; --", "x" * 1_000])
async def test_wrong_pin_is_refused(x_emulator, pin):
    stage = SignInStage(x_emulator.url)
    begun = await stage.connect.begin("o8z6j")
    answer_the_page(begun.page)

    with pytest.raises(RefusedByX, match="X refused the PIN"):
        await stage.connect.finish_by_pin(begun.token, pin)


async def test_unregistered_callback_url_is_named(x_emulator):
    stage = SignInStage(x_emulator.url)

    with pytest.raises(RefusedByX) as refused:
        await stage.connect.begin("o8z6j", callback="https://t.shop.example/console/x")

    assert "accept https://t.shop.example/console/x as a callback URL (403 415" in str(
        refused.value
    )


async def test_wrong_consumer_secret_is_explained(x_emulator):
    app = XApp(consumer_key=APP.consumer_key, consumer_secret=Secret("of-another-app"))

    with pytest.raises(RefusedByX, match=r"^X does not know the app \(401 32: "):
        await SignInStage(x_emulator.url, app=app).connect.begin("o8z6j")


async def test_wrong_clock_is_explained(x_emulator):
    x_emulator.clock(shift=7_200)

    with pytest.raises(RefusedByX, match=r"This machine's clock differs from X's by 7\d\d\d s"):
        await SignInStage(x_emulator.url).connect.begin("o8z6j")


async def test_sign_in_requires_an_app(x_emulator):
    with pytest.raises(
        SettingsError, match=r"x\.consumer_key: is missing: users sign in through your own app"
    ):
        await SignInStage(x_emulator.url, app=None).connect.begin("o8z6j")


async def test_sign_in_without_a_secret_key_does_not_begin(x_emulator):
    stage = SignInStage(x_emulator.url)
    keyless = XSignIn(
        inquiries=stage.asks, clock=stage.clock, credential_store=None, destinations={}
    )

    with pytest.raises(SettingsError, match="cannot store any without a key"):
        await keyless.begin("o8z6j")

    assert stage.asked == []


async def test_pixel_token_that_x_does_not_refuse_is_stored(x_emulator):
    stage = SignInStage(x_emulator.url)

    connected = await stage.connect.paste("o8z6j", TOKEN)

    assert connected.access == AccessCheck()
    assert (await stage.logins.all())["o8z6j"].pixel_token == TOKEN


async def test_check_of_a_pixel_token_counts_no_conversion(x_emulator):
    await SignInStage(x_emulator.url).connect.paste("o8z6j", TOKEN)

    assert x_emulator.counted()["pixels"] == {}


async def test_pixel_token_of_another_pixel_is_refused_and_not_stored(x_emulator):
    stage = SignInStage(x_emulator.url)
    foreign = PixelToken(token=Secret("emulator-pixel-token-o6dkt"))

    with pytest.raises(RefusedByX, match="X refused this pixel token for pixel o8z6j"):
        await stage.connect.paste("o8z6j", foreign)

    assert await stage.logins.all() == {}


async def test_pixel_token_is_stored_if_x_is_unavailable(x_emulator):
    x_emulator.fault("status", status=503)
    stage = SignInStage(x_emulator.url)

    connected = await stage.connect.paste("o8z6j", TOKEN)

    assert connected.access is None
    assert (await stage.logins.all())["o8z6j"].pixel_token == TOKEN


async def test_deleted_credentials_are_revoked_at_x_only_on_request(x_emulator):
    stage = SignInStage(x_emulator.url)
    await by_pin(stage)

    assert await stage.connect.forget("o8z6j", OAUTH)

    assert not [path for path in stage.asked if "invalidate" in path]
    assert await stage.logins.all() == {}


async def test_revoked_token_cannot_be_used(x_emulator):
    stage = SignInStage(x_emulator.url)
    await by_pin(stage)
    keys = (await stage.logins.all())["o8z6j"].oauth

    await stage.connect.forget("o8z6j", OAUTH, revoke=True)

    assert stage.asked[-1] == "/1.1/oauth/invalidate_token.json"
    await stage.logins.keep_oauth("o8z6j", keys, screen_name="example_ads")
    # X no longer knows the token, so revoking it does not fail.
    assert await stage.connect.forget("o8z6j", OAUTH, revoke=True)
    assert not await stage.connect.forget("o8z6j", PIXEL_TOKEN)


async def test_commands_for_sign_in_are_audited_with_their_user(x_emulator):
    stage = SignInStage(x_emulator.url, noted_as="ada (command)")

    await by_pin(stage)
    await stage.connect.paste("o8z6j", TOKEN)
    await stage.connect.forget("o8z6j", OAUTH, revoke=True)
    await stage.connect.forget("o8z6j", PIXEL_TOKEN)
    await stage.connect.forget("o8z6j", PIXEL_TOKEN)

    audit_events = [
        (audit_event.who, audit_event.what, audit_event.subject, audit_event.detail)
        for audit_event in stage.state.audit_events
    ]
    assert audit_events == [
        ("ada (command)", "connect.done", "o8z6j", "oauth as @example_ads"),
        ("ada (command)", "connect.done", "o8z6j", "pixel_token"),
        ("ada (command)", "connect.forget", "o8z6j", "oauth, revoked at X"),
        ("ada (command)", "connect.forget", "o8z6j", "pixel_token"),
    ]


async def test_sign_in_service_leaves_the_audit_log_to_the_console(x_emulator):
    stage = SignInStage(x_emulator.url)

    await stage.connect.paste("o8z6j", TOKEN)

    assert stage.state.audit_events == []
