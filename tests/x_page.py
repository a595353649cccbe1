"""A user on X's authorization page, and the app that the page must know."""

import re
import urllib.error
import urllib.parse
import urllib.request

# The emulator's own app, as its documentation prints it.
CONSUMER_KEY = "xvz1evFS4wEEPTGEFPHBog"
CONSUMER_SECRET = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
# Credentials in twite.toml, of the user whom the emulator knows.
OAUTH = (
    f'auth = {{ consumer_key = "{CONSUMER_KEY}", consumer_secret = "{CONSUMER_SECRET}", '
    'token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", '
    'token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE" }'
)
CALLBACK = "http://127.0.0.1:8080/x/callback"


def answer_the_page(page: str, **choice: str) -> tuple[str, str]:
    """Press a button on X's page; return the displayed PIN and the redirect URL."""
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)["oauth_token"][0]
    form = urllib.parse.urlencode({"oauth_token": token, **(choice or {"allow": "1"})}).encode()
    opener = urllib.request.build_opener(_Stays)
    try:
        with opener.open(page.partition("?")[0], data=form, timeout=10) as answer:
            shown = answer.read().decode()
        return (re.findall(r"<code>(\d+)</code>", shown) or [""])[0], ""
    except urllib.error.HTTPError as sent:
        return "", sent.headers["Location"]


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
