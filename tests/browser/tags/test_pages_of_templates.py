"""Pages of a client template on the console's host, in the browser of a person with a session."""

import pytest
from gateway_processes import command
from shop import running_site
from visitor import Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

TEMPLATE = """___INFO___
{"type": "CLIENT", "displayName": "Attacks the console"}
___SANDBOXED_JS_FOR_SERVER___
if (require('getRequestPath')() === '/promo') {
  require('claimRequest')();
  require('setResponseHeader')('content-type', 'text/html');
  require('setResponseHeader')('content-security-policy', "default-src * 'unsafe-inline'");
  require('setCookie')('twite', 'planted', {path: '/'});
  require('setCookie')('twite-visitor', 'planted', {path: '/console'});
  require('setCookie')('other', '1', {path: '/'});
  require('setResponseBody')(
    '<p id=seen>' + require('getRequestHeader')('cookie') + '</p><script>' +
    'document.title = "ran"; fetch("/console/sign-in").then((page) => page.text())' +
    '.then((text) => { document.title = text.length; });</script>');
  require('returnResponse')();
}
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "read_request", "versionId": "1"},
  "param": [{"key": "requestAccess", "value": {"type": 1, "string": "any"}},
            {"key": "headerAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"},
  "param": [{"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}},
            {"key": "writeHeaderAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "set_cookies", "versionId": "1"},
  "param": [{"key": "allowedCookies", "value": {"type": 2, "listItem": [{"type": 3,
    "mapKey": [{"type": 1, "string": "name"}, {"type": 1, "string": "domain"},
      {"type": 1, "string": "path"}, {"type": 1, "string": "secure"},
      {"type": 1, "string": "session"}],
    "mapValue": [{"type": 1, "string": "*"}, {"type": 1, "string": "*"},
      {"type": 1, "string": "*"}, {"type": 1, "string": "any"},
      {"type": 1, "string": "any"}]}]}}]}},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []}}]
"""
PASSWORD = "a sentence that does well"
CLIENT = """
[[client]]
template = "attack.tpl"
source = "page"
"""


async def test_page_of_a_client_template_cannot_use_the_console_session(browser, site, tmp_path):
    (tmp_path / "attack.tpl").write_text(TEMPLATE)
    with running_site(tmp_path, site.shop, site.emulator, extra=CLIENT) as own:
        added = command(
            own.gateway, "user", "add", "ada", "--role", "admin", "--password-stdin", typed=PASSWORD
        )
        assert added.returncode == 0
        async with Visitor.in_context(browser, own) as visitor:
            await visitor.page.goto(f"{own.gateway.url}/console/sign-in")
            before = await visitor.cookies()
            await visitor.page.goto(f"{own.gateway.url}/promo")
            await visitor.page.wait_for_load_state("networkidle")
            seen = await visitor.page.text_content("#seen")
            title, asked = await visitor.page.title(), [each.url for each in visitor.requests]
            after = await visitor.cookies()

    assert len(before["twite-visitor"]) == 43
    assert after == before | {"other": "1"}
    assert (seen, title) == ("undefined", "")
    assert not asked[-1].endswith("/console/sign-in")
