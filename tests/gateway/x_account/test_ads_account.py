"""The events of an X account, over real sockets, with the emulator."""

from sign_in_stage import ACCOUNT, SignInStage, by_pin

from twite.gateway.x_account.event_tags import AdsAccount


async def test_events_of_an_account_are_read_page_by_page(x_emulator):
    stage = SignInStage(x_emulator.url)
    await by_pin(stage)
    keys = (await stage.logins.all())["o8z6j"].oauth
    stage.asked.clear()

    whole = await AdsAccount(inquiries=stage.asks, keys=keys, account=ACCOUNT).events()
    paged = await AdsAccount(inquiries=stage.asks, keys=keys, account=ACCOUNT, page=2).events()

    assert [tag.id for tag in paged] == [tag.id for tag in whole]
    assert len(whole) == 5
    assert len(stage.asked) == 1 + 3
