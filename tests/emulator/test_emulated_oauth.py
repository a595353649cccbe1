"""OAuth 1.0a: X's published example, and each way in which a signature can be wrong."""

import msgspec
import pytest
from x_requests import ADS, CONSUMER, NOW, TOKEN, a_conversion, a_judge, signed, signed_conversions

from twite_emulator.exchange import XRequestReceived
from twite_emulator.oauth import UnsignedError, base_string, verify
from twite_emulator.state import NonceWindow
from twite_emulator.world import World

STAMP = 1318622958
NONCE = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
CONVERSIONS = "/12/measurement/conversions/o8z6j"


def published(url, signature, *, query="", body=b"", kind="application/json") -> XRequestReceived:
    """X's example request with its example signature."""
    parameters = {
        "oauth_consumer_key": CONSUMER[0],
        "oauth_nonce": NONCE,
        "oauth_signature": signature,
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(STAMP),
        "oauth_token": TOKEN[0],
        "oauth_version": "1.0",
    }
    header = "OAuth " + ", ".join(f'{name}="{_quoted(v)}"' for name, v in parameters.items())
    return XRequestReceived(
        method="POST",
        url=url,
        path="/",
        query=query,
        headers={"authorization": header, "content-type": kind},
        body=body,
    )


def _quoted(text):
    return text.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")


def check(request, *, at=STAMP, window=300, **more):
    state = a_judge(f"oauth_window={window}").state()
    return verify(request, msgspec.structs.replace(state, signed_at=at), **more)


def status_of(request, *switches):
    return a_judge(*switches).answer(request).answer.status


def refusal_reason(request):
    return a_judge().answer(request).why


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (f"https://ads-api.x.com{CONVERSIONS}", "7iaI+laGCTHGiawtSB+Dd+WRYfc="),
        (f"https://ads-api.twitter.com{CONVERSIONS}", "hZ4orWrrqLW7WmY2CIE86CuQwWw="),
    ],
)
def test_reference_signatures_of_a_conversions_request_are_valid(url, signature):
    held = check(published(url, signature, body=b'{"conversions": []}'))

    assert (held.app.id, held.user.id) == ("3213", "370773112")


def test_reference_signature_with_query_and_form_is_valid():
    request = published(
        "https://api.x.com/1.1/statuses/update.json",
        "Ls93hJiZbQ3akF3HF3x1Bz8/zU4=",
        query="include_entities=true",
        body=b"status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21",
        kind="application/x-www-form-urlencoded",
    )

    assert check(request).token.user == "370773112"


def test_signature_base_string_is_that_of_xs_example():
    request = published(f"https://ads-api.x.com{CONVERSIONS}", "x")
    parameters = {
        "oauth_consumer_key": CONSUMER[0],
        "oauth_nonce": NONCE,
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(STAMP),
        "oauth_token": TOKEN[0],
        "oauth_version": "1.0",
    }

    assert base_string(request, parameters) == (
        "POST&https%3A%2F%2Fads-api.x.com%2F12%2Fmeasurement%2Fconversions%2Fo8z6j&"
        "oauth_consumer_key%3Dxvz1evFS4wEEPTGEFPHBog%26oauth_nonce%3D"
        "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg%26oauth_signature_method%3DHMAC-SHA1%26"
        "oauth_timestamp%3D1318622958%26oauth_token%3D"
        "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb%26oauth_version%3D1.0"
    )


@pytest.mark.parametrize(
    "stale", ["tnnArxj06cWHq44gCs1OSKk/jLY=", "hCtSmYh+iHYCEqBWrE7C7hYmtUk=", "", "é"]
)
def test_wrong_signature_is_refused(stale):
    with pytest.raises(UnsignedError, match="does not match"):
        check(published(f"https://ads-api.x.com{CONVERSIONS}", stale))


def test_signature_for_another_host_is_refused():
    request = published(f"https://ads-api.twitter.com{CONVERSIONS}", "7iaI+laGCTHGiawtSB+Dd+WRYfc=")

    with pytest.raises(UnsignedError, match="does not match"):
        check(request)


def test_request_signed_by_another_library_is_accepted():
    assert status_of(signed_conversions(a_conversion())) == 200


def test_json_body_is_not_part_of_the_signature():
    request = signed_conversions(a_conversion())
    changed = type(request)(
        method=request.method,
        url=request.url,
        path=request.path,
        headers=request.headers,
        body=request.body + b" ",
    )

    assert status_of(changed) == 200


def test_query_is_part_of_the_signature():
    request = signed("GET", f"{ADS}/12/accounts/18ce54d4x5t/web_event_tags?count=1")
    changed = type(request)(
        method="GET", url=request.url, path=request.path, query="count=2", headers=request.headers
    )

    assert (status_of(request), status_of(changed)) == (200, 401)


def test_query_with_a_duplicate_key_is_refused():
    request = signed("GET", f"{ADS}/12/accounts/18ce54d4x5t/web_event_tags?count=1&count=1")

    assert status_of(request) == 401


def test_nonce_is_accepted_once():
    judge = a_judge()
    request = signed_conversions(a_conversion(), nonce="abc")

    answers = [judge.answer(request) for _ in range(2)]

    assert [answer.answer.status for answer in answers] == [200, 401]
    assert answers[1].why == "the nonce was used before"


def test_same_nonce_with_another_timestamp_is_accepted():
    judge = a_judge()

    statuses = [
        judge.answer(signed_conversions(a_conversion(), nonce="abc", at=at)).answer.status
        for at in (NOW, NOW - 1)
    ]

    assert statuses == [200, 200]


def test_refused_request_does_not_use_up_its_nonce():
    judge = a_judge()
    wrong = (CONSUMER[0], "wrong")

    statuses = [
        judge.answer(signed_conversions(a_conversion(), nonce="n", consumer=key)).answer.status
        for key in (wrong, CONSUMER)
    ]

    assert statuses == [401, 200]


def test_nonces_are_forgotten_after_twice_the_time_window():
    nonces = NonceWindow()

    news = [nonces.remember(("a",), at=at, window=300) for at in (0, 600, 601)]

    assert news == [True, False, True]


@pytest.mark.parametrize(
    ("off", "status"), [(0, 200), (300, 200), (-300, 200), (301, 401), (-301, 401), (-NOW, 401)]
)
def test_timestamp_must_be_within_the_time_window(off, status):
    assert status_of(signed_conversions(a_conversion(), at=NOW + off)) == status


def test_time_window_of_signatures_can_be_switched():
    assert status_of(signed_conversions(a_conversion(), at=NOW - 20), "oauth_window=10") == 401


def test_shifted_clock_of_the_emulator_shifts_the_time_window():
    request = signed_conversions(a_conversion())

    assert a_judge().answer(request, skew=3600).answer.status == 401


def tampered(change):
    request = signed_conversions(a_conversion())
    header = change(request.headers["authorization"])
    return type(request)(
        method=request.method,
        url=request.url,
        path=request.path,
        headers={**request.headers, "authorization": header},
        body=request.body,
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda h: h.replace('oauth_version="1.0", ', ""),
            "unexpected or missing OAuth parameters",
        ),
        (lambda h: h + ', oauth_callback="oob"', "unexpected or missing OAuth parameters"),
        (lambda h: h + ', oauth_version="1.0"', "given twice"),
        (lambda h: h.replace('"1.0"', '"1.1"'), "version is not 1.0"),
        (lambda h: h.replace("HMAC-SHA1", "PLAINTEXT"), "not HMAC-SHA1"),
        (lambda h: h.replace('oauth_timestamp="', 'oauth_timestamp="x'), "not a number"),
        (lambda h: h.replace('oauth_timestamp="', 'oauth_timestamp="-'), "not a number"),
        (lambda h: h.replace('oauth_nonce="', 'oauth_nonce="é'), "not ASCII"),
        (lambda h: h.replace(CONSUMER[0], "nobody"), "unknown consumer key"),
        (lambda h: h.replace(TOKEN[0], "nobody"), "unknown token"),
        (lambda _: "Bearer abc", "is not OAuth"),
        (lambda _: "OAuth", "unexpected or missing OAuth parameters"),
        (lambda _: 'OAuth a="', "unexpected or missing OAuth parameters"),
        (lambda _: "OAuth a,b", "does not parse"),
        (lambda _: "", "no Authorization header"),
    ],
)
def test_malformed_authorization_header_is_refused_with_the_reason_in_the_log(change, reason):
    request = tampered(change)

    verdict = a_judge().answer(request)

    assert (verdict.answer.status, reason in (verdict.why or "")) == (401, True)


def test_realm_of_the_authorization_header_is_not_signed():
    assert status_of(tampered(lambda h: h.replace("OAuth ", 'OAuth realm="x", '))) == 200


def test_token_of_another_app_is_refused():
    judge = a_judge()
    judge.world.merge({"apps": [{"id": "9", "consumer_key": "other", "consumer_secret": "secret"}]})

    request = signed_conversions(a_conversion(), consumer=("other", "secret"))

    assert judge.answer(request).why == "the token belongs to another app"


def test_repr_hides_secrets_of_keys_and_tokens():
    shown = repr(World().document()) + repr(
        check(
            published(f"https://ads-api.x.com{CONVERSIONS}", "7iaI+laGCTHGiawtSB+Dd+WRYfc=")
        ).token
    )

    assert CONSUMER[1] not in shown
    assert TOKEN[1] not in shown
