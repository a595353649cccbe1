"""Pixels that an admin ticks for a user or a key are a limit, whatever else the form says."""

import pytest
from console_stage import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

# As a form has it if an admin ticks a pixel and overlooks "only".
TICKED = {"sees": "all", "pixel": "o6dkt", "own": PASSWORD}
FORMS = {
    "/console/people": {"name": "nora", "role": "viewer", "new": "a password of some length"},
    "/console/people/users/client/role": {"role": "viewer"},
    "/console/people/keys": {"name": "reports", "scope": "history"},
}


@pytest.mark.parametrize("path", FORMS)
async def test_ticked_pixel_is_never_answered_with_all_pixels(stage, path):
    ada = await stage.signed_in("ada")

    answer = await ada.post(path, TICKED | FORMS[path])
    page = (await ada.get(answer.location)).text if answer.location else answer.text

    assert "you chose all pixels, and ticked o6dkt" in page
    users = (await ada.get("/console/people")).text
    keys = (await ada.get("/console/people/keys")).text
    client = (await ada.get("/console/people/users/client")).text
    assert "nora" not in users
    assert "reports" not in keys.split("<form")[0]
    assert 'name="sees" value="some" checked' in client
