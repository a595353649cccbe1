"""The events of an account, over real sockets, against the emulator."""

from sign_in_stage import ACCOUNT, House, by_pin

from twite.gateway.x_account.event_tags import AdsAccount


async def test_events_come_in_as_many_pages_as_they_fill(x_emulator):
    house = House(x_emulator.url)
    await by_pin(house)
    keys = (await house.logins.all())["o8z6j"].oauth
    house.asked.clear()

    whole = await AdsAccount(ask=house.asks, keys=keys, account=ACCOUNT).events()
    paged = await AdsAccount(ask=house.asks, keys=keys, account=ACCOUNT, page=2).events()

    assert [tag.id for tag in paged] == [tag.id for tag in whole]
    assert len(whole) == 5
    assert len(house.asked) == 1 + 3
