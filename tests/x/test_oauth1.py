import hmac
import re
from base64 import b64encode
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.destination import OAuthKeys, XApp
from twite.domain.secret import Secret
from twite.x.oauth1 import parameters, sign, sign_step, verify

# X's published example. [doc OA]
KEYS = OAuthKeys(
    consumer_key="xvz1evFS4wEEPTGEFPHBog",
    consumer_secret=Secret("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
    token="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    token_secret=Secret("LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
)
NONCE = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"
AT = 1_318_622_958
URL = "https://ads-api.x.com/12/measurement/conversions/o8z6j"
BASE_STRING = (
    "POST&https%3A%2F%2Fads-api.x.com%2F12%2Fmeasurement%2Fconversions%2Fo8z6j&oauth_consumer_key"
    "%3Dxvz1evFS4wEEPTGEFPHBog%26oauth_nonce%3DkYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg%26"
    "oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1318622958%26oauth_token%3D370773112-"
    "GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb%26oauth_version%3D1.0"
)


def header(url=URL, *, keys=KEYS, nonce=NONCE, timestamp=AT, method="POST"):
    return sign(method=method, url=url, keys=keys, nonce=nonce, timestamp=timestamp)


def checked(authorization, *, url=URL, keys=KEYS, now=AT, method="POST"):
    return verify(method=method, url=url, authorization=authorization, keys=keys, now=now)


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (URL, "7iaI+laGCTHGiawtSB+Dd+WRYfc="),
        (URL.replace("x.com", "twitter.com"), "hZ4orWrrqLW7WmY2CIE86CuQwWw="),
    ],
)
def test_oauth_signature_matches_the_test_vectors(url, signature):
    assert parameters(header(url))["oauth_signature"] == signature


def test_oauth_signature_is_the_hmac_of_the_documented_base_string():
    key = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw&LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
    by_hand = b64encode(hmac.digest(key.encode(), BASE_STRING.encode(), "sha1")).decode()

    assert parameters(header())["oauth_signature"] == by_hand == "7iaI+laGCTHGiawtSB+Dd+WRYfc="


def test_sign_in_request_is_signed_with_app_and_request_token():
    app = XApp(consumer_key=KEYS.consumer_key, consumer_secret=KEYS.consumer_secret)
    signed = {"url": URL, "app": app, "nonce": NONCE, "timestamp": AT}
    first = sign_step(**signed)
    second = sign_step(**signed, requested=(KEYS.token, KEYS.token_secret))

    without = re.sub("oauth_token%3D.*%26oauth_v", "oauth_v", BASE_STRING)
    key = f"{KEYS.consumer_secret.reveal()}&".encode()
    by_hand = b64encode(hmac.digest(key, without.encode(), "sha1")).decode()
    assert second == header()
    assert "oauth_token=" not in first
    assert f'oauth_signature="{quote(by_hand, safe="")}"' in first


def test_published_signature_of_query_and_form_is_valid():
    # Form parameters are signed like query parameters; here both are in the query.
    url = (
        "https://api.x.com/1.1/statuses/update.json?include_entities=true"
        "&status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21"
    )
    authorization = (
        'OAuth oauth_consumer_key="xvz1evFS4wEEPTGEFPHBog", '
        f'oauth_nonce="{NONCE}", '
        'oauth_signature="Ls93hJiZbQ3akF3HF3x1Bz8%2FzU4%3D", '
        'oauth_signature_method="HMAC-SHA1", oauth_timestamp="1318622958", '
        'oauth_token="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", oauth_version="1.0"'
    )

    assert checked(authorization, url=url) == NONCE


def test_authorization_header_has_exactly_xs_seven_parameters():
    assert parameters(header()) == {
        "oauth_consumer_key": KEYS.consumer_key,
        "oauth_nonce": NONCE,
        "oauth_signature": "7iaI+laGCTHGiawtSB+Dd+WRYfc=",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": KEYS.token,
        "oauth_version": "1.0",
    }


def test_authorization_header_contains_no_secret():
    shown = header()

    assert KEYS.consumer_secret.reveal() not in shown
    assert KEYS.token_secret.reveal() not in shown


def test_signature_by_twite_is_valid():
    assert checked(header()) == NONCE


@pytest.mark.parametrize("lag", [-300, 300])
def test_timestamp_may_differ_by_five_minutes(lag):
    assert checked(header(), now=AT + lag) == NONCE


@pytest.mark.parametrize("lag", [-301, 301, 86_400])
def test_old_timestamp_is_refused(lag):
    assert checked(header(), now=AT + lag) is None


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_query_is_part_of_the_signature(method):
    url = f"{URL}?a=b%20c&a=&d"

    assert checked(header(url, method=method), url=url, method=method) == NONCE
    assert checked(header(url, method=method), url=f"{URL}?a=b", method=method) is None


@pytest.mark.parametrize(
    "change",
    [{"url": URL + "x"}, {"url": URL.replace("ads-api", "evil")}, {"method": "PUT"}],
    ids=["address", "host", "method"],
)
def test_signature_of_another_request_is_refused(change):
    assert checked(header(**change)) is None


@pytest.mark.parametrize("part", ["consumer_key", "consumer_secret", "token", "token_secret"])
@pytest.mark.parametrize("other", ["0", "other", "~", "shorter", "longer"])
def test_signature_with_another_key_is_refused(part, other):
    parts = {name: getattr(KEYS, name) for name in OAuthKeys.__struct_fields__}
    secret = part.endswith("secret")
    own = parts[part].reveal() if secret else parts[part]
    text = {"shorter": own[:-1], "longer": f"{own}0"}.get(other, other)
    parts[part] = Secret(text) if secret else text

    assert checked(header(keys=OAuthKeys(**parts))) is None


@pytest.mark.parametrize("name", ["oauth_nonce", "oauth_timestamp", "oauth_signature"])
def test_parameter_changed_after_signing_is_refused(name):
    value = quote(parameters(header())[name], safe="")
    changed = header().replace(f'{name}="{value}"', f'{name}="{value[:-1]}7"')

    assert changed != header()
    assert checked(changed) is None


@pytest.mark.parametrize(
    "authorization",
    [
        "", "OAuth", "OAuth ", "Bearer abc", "Basic abc", "OAuth a", "OAuth =", 'OAuth a="b"',
        'OAuth oauth_nonce="a", oauth_nonce="b"', "OAuth " + "x" * 5_000,
    ],
)  # fmt: skip
def test_malformed_authorization_header_is_refused(authorization):
    assert parameters(authorization) is None
    assert checked(authorization) is None


@pytest.mark.parametrize("name", sorted(parameters(header())))
def test_each_oauth_parameter_is_required_once(name):
    value = quote(parameters(header())[name], safe="")
    pair = f'{name}="{value}"'
    without = header().replace(f"{pair}, ", "").replace(f", {pair}", "")

    assert checked(without) is None
    assert checked(f"{header()}, {pair}") is None


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "OAuth2", "oaut", "", "zAuth"])
def test_valid_signature_under_another_scheme_is_refused(scheme):
    authorization = f"{scheme} {header().partition(' ')[2]}"

    assert parameters(authorization) is None
    assert checked(authorization) is None


def test_authorization_header_is_read_up_to_4096_characters():
    rest = header().partition(" ")[2]

    def padded(length):
        start = 'realm="'
        return f'OAuth {start}{"x" * (length - len(rest) - len(start) - 3)}", {rest}'

    assert len(padded(4_096)) == 4_096 + len("OAuth ")
    assert checked(padded(4_096)) == NONCE
    assert checked(padded(4_097)) is None


def test_realm_is_ignored_and_the_scheme_read_in_any_case():
    authorization = header().replace("OAuth ", 'oauth realm="https://x.example/", ')

    assert checked(authorization) == NONCE


@pytest.mark.parametrize(
    "url", ["https:///path", "http://", "", "https://[bad/", "https://x.example:port/"]
)
def test_request_with_an_invalid_url_is_refused(url):
    assert checked(header(), url=url) is None


@pytest.mark.parametrize("stamp", ["", "soon", "-5", "1318622958.5", "\u0661", "9" * 3_000])
def test_invalid_timestamp_is_refused(stamp):
    changed = header().replace('timestamp="1318622958"', f'timestamp="{quote(stamp)}"')

    assert checked(changed) is None


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_authorization_header_and_url_are_read_or_refused(text, host):
    assert checked(f"OAuth {text}", url=f"https://{host}/") is None


@given(st.text(max_size=20))
def test_any_signature_is_read_or_refused(text):
    changed = header().replace("7iaI%2BlaGCTHGiawtSB%2BDd%2BWRYfc%3D", quote(text, safe=""))

    assert checked(changed) is None or unquote(text) == "7iaI+laGCTHGiawtSB+Dd+WRYfc="
