"""Sign-in at X: request token, consent, access token, revocation."""

from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
from x_requests import ADS, a_conversion, a_judge, reply, signed, signed_conversions

from twite_emulator.exchange import XRequestReceived

API = "https://api.x.com"
CALLBACK = "http://127.0.0.1:8080/x/callback"


def form(answer):
    return {name: values[0] for name, values in parse_qs(answer.body.decode()).items()}


def begin(judge, callback="oob"):
    request = signed("POST", f"{API}/oauth/request_token", token=None, callback_uri=callback)
    return judge.answer(request).answer


def consent(judge, token, **more):
    return judge.answer(
        XRequestReceived(
            method="POST",
            url=f"{API}/oauth/authorize",
            path="/oauth/authorize",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode({"oauth_token": token, **more}).encode(),
        )
    ).answer


def pin_of(page):
    return page.body.decode().partition("<code>")[2].partition("</code>")[0]


def finish(judge, temporary, verifier):
    request = signed(
        "POST",
        f"{API}/oauth/access_token",
        token=(temporary["oauth_token"], temporary["oauth_token_secret"]),
        verifier=verifier,
    )
    return judge.answer(request).answer


def sign_in(judge):
    temporary = form(begin(judge))
    return form(finish(judge, temporary, pin_of(consent(judge, temporary["oauth_token"]))))


def test_request_token_response_confirms_the_callback():
    answer = begin(a_judge())

    assert (answer.status, form(answer)["oauth_callback_confirmed"]) == (200, "true")


def test_authorize_page_names_the_app_and_the_user():
    judge = a_judge()
    token = form(begin(judge))["oauth_token"]

    page = judge.answer(
        XRequestReceived(
            method="GET",
            url=f"{API}/oauth/authorize",
            path="/oauth/authorize",
            query=f"oauth_token={token}",
            headers={},
        )
    ).answer

    text = page.body.decode()
    assert (page.status, "Example App" in text, "@example_ads" in text) == (200, True, True)


def test_sign_in_with_a_pin_returns_tokens_that_sign_conversions():
    judge = a_judge()

    access = sign_in(judge)

    pair = (access["oauth_token"], access["oauth_token_secret"])
    status = judge.answer(signed_conversions(a_conversion(), token=pair)).answer.status
    assert (access["user_id"], access["screen_name"], status) == ("370773112", "example_ads", 200)


def test_pin_has_seven_digits_and_is_valid_once():
    judge = a_judge()
    temporary = form(begin(judge))
    pin = pin_of(consent(judge, temporary["oauth_token"]))

    statuses = [finish(judge, temporary, pin).status for _ in range(2)]

    assert (len(pin), pin.isdigit(), statuses) == (7, True, [200, 401])


def test_verifier_in_the_form_body_is_accepted():
    judge = a_judge()
    temporary = form(begin(judge))
    pin = pin_of(consent(judge, temporary["oauth_token"]))

    request = signed(
        "POST",
        f"{API}/oauth/access_token",
        token=(temporary["oauth_token"], temporary["oauth_token_secret"]),
        form=urlencode({"oauth_verifier": pin}),
    )

    assert judge.answer(request).answer.status == 200


def test_wrong_pin_is_refused():
    judge = a_judge()
    temporary = form(begin(judge))
    consent(judge, temporary["oauth_token"])

    answer = reply(finish(judge, temporary, "0000000"))

    assert answer == (401, {"errors": [{"code": 32, "message": "Could not authenticate you."}]})


def test_access_token_is_refused_before_consent():
    judge = a_judge()

    assert finish(judge, form(begin(judge)), "").status == 401


def test_registered_callback_receives_token_and_verifier():
    judge = a_judge()
    temporary = form(begin(judge, CALLBACK))

    answer = consent(judge, temporary["oauth_token"])

    location = dict(answer.headers)["location"]
    query = parse_qs(urlsplit(location).query)
    finished = finish(judge, temporary, query["oauth_verifier"][0]).status
    assert (answer.status, location.startswith(CALLBACK), query["oauth_token"], finished) == (
        302,
        True,
        [temporary["oauth_token"]],
        200,
    )


def test_unregistered_callback_is_refused():
    assert begin(a_judge(), "http://198.51.100.7/").status == 403


def test_denied_consent_redirects_with_the_parameter_denied():
    judge = a_judge()
    temporary = form(begin(judge, CALLBACK))

    location = dict(consent(judge, temporary["oauth_token"], deny="1").headers)["location"]

    assert location == f"{CALLBACK}?denied={temporary['oauth_token']}"


def test_unknown_request_token_has_no_authorize_page():
    assert consent(a_judge(), "nobody").status == 401


def test_user_who_consents_can_be_chosen():
    judge = a_judge()
    judge.world.merge({"users": [{"id": "42", "screen_name": "second"}]})
    temporary = form(begin(judge))

    page = consent(judge, temporary["oauth_token"], user_id="42")

    assert form(finish(judge, temporary, pin_of(page)))["screen_name"] == "second"


def test_request_token_cannot_sign_conversions():
    judge = a_judge()
    temporary = form(begin(judge))

    pair = (temporary["oauth_token"], temporary["oauth_token_secret"])

    assert judge.answer(signed_conversions(a_conversion(), token=pair)).answer.status == 401


def test_revoked_access_token_is_refused_by_both_hosts():
    judge = a_judge()
    address = f"{API}/1.1/oauth/invalidate_token.json"

    revoked = reply(judge.answer(signed("POST", address)).answer)
    again = reply(judge.answer(signed("POST", address)).answer)
    ads = judge.answer(signed("GET", f"{ADS}/12/accounts")).answer.status

    assert revoked[0] == 200
    assert again == (401, {"errors": [{"code": 89, "message": "Invalid or expired token."}]})
    assert ads == 401


def test_unsigned_request_for_a_token_is_refused():
    request = signed("POST", f"{API}/oauth/request_token", token=None, callback_uri="oob")

    assert a_judge().answer(msgspec.structs.replace(request, headers={})).answer.status == 401
