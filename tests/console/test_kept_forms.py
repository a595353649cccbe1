"""A form that was refused keeps what was typed, except passwords."""

import pytest
from console_stage import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = {
    "name": "new-colleague",
    "role": "operator",
    "sees": "some",
    "pixel": "o6dkt",
    "new": "a password of some length",
    "own": "not the password",
}


async def test_refused_form_keeps_its_fields_but_no_password(stage):
    ada = await stage.signed_in("ada")

    answer = await ada.post("/console/people", USER)
    page = (await ada.get(answer.location)).text

    assert 'name="name" type="text" value="new-colleague"' in page
    assert '<option value="operator" selected>' in page
    assert 'name="sees" value="some" checked' in page
    assert 'name="pixel" value="o6dkt" checked' in page
    assert 'name="pixel" value="o8z6j">' in page
    assert USER["new"] not in page
    assert USER["own"] not in page


async def test_refused_test_conversion_keeps_its_amount_but_no_person(stage):
    ada = await stage.signed_in("ada")
    fields = {"source": "shop", "event": "purchase", "value": "4,9,9"}
    fields |= {"currency": "GBP", "email": "canary@shop.example"}

    answer = await ada.post("/console/pixels/o8z6j/try", fields)
    page = (await ada.get(answer.location)).text

    assert 'value="4,9,9"' in page
    assert 'value="GBP"' in page
    assert "canary" not in page


async def test_refused_test_conversion_names_its_faults_and_is_no_rejection(stage):
    ada = await stage.signed_in("ada")
    before = await rejected(ada)
    test = {"source": "shop", "event": "purchase"}

    for more, sentence in (
        ({}, "Not accepted: no identifier that X accepts."),
        ({"email": "a@shop.example", "currency": "EURO"}, "it is not kept."),
    ):
        answer = await ada.post("/console/pixels/o8z6j/try", test | more)
        page = (await ada.get(answer.location)).text
        assert sentence in page
        assert ": :" not in page

    assert await rejected(ada) == before


async def rejected(browser):
    page = (await browser.get("/console/conversions?state=rejected")).text
    return page.count(' id="r')


async def test_what_was_typed_is_shown_once_and_only_to_its_user(stage):
    ada, other = await stage.signed_in("ada"), await stage.signed_in("ada")

    await ada.post("/console/people", USER)
    elsewhere = (await other.get("/console/people")).text
    first = (await ada.get("/console/people")).text
    second = (await ada.get("/console/people")).text

    shown = [USER["name"] in page for page in (elsewhere, first, second)]
    assert shown == [False, True, False]


async def test_only_the_refused_form_of_a_page_is_filled(stage):
    ada = await stage.signed_in("ada")

    await ada.post("/console/people/users/vic/password", {"role": "operator", "own": "wrong"})
    page = (await ada.get("/console/people/users/vic")).text

    assert '<option value="viewer" selected>' in page


async def test_accepted_form_is_empty_afterwards(stage):
    ada = await stage.signed_in("ada")

    answer = await ada.post("/console/people", USER | {"own": PASSWORD, "name": "accepted"})
    page = (await ada.get(answer.location)).text

    assert "accepted can now sign in." in page
    assert 'value="accepted"' not in page


async def test_very_long_form_is_not_kept(stage):
    ada = await stage.signed_in("ada")

    await ada.post("/console/people", USER | {"name": "n" * 20_000})

    assert "nnnnn" not in (await ada.get("/console/people")).text
