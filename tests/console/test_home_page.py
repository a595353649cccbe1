"""The first page: accounts by health, filter and paging; the overview of a pixel; no leaks."""

import html
import re
import time

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

from twite.domain.alert import Alert, AlertKind
from twite.domain.people.users import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "agency-source-key-of-some-length"
PIXELS = [f"q{number:02}" for number in range(55)]
IDLE = PIXELS[-3:]
PEOPLE = {
    "ada": (Role.ADMIN, None),
    "client": (Role.VIEWER, ["q01"]),
    "two": (Role.VIEWER, ["q01", "q02"]),
    "nobody": (Role.VIEWER, []),
}


def settings_of_agency():
    """Return settings with 55 pixels: the first two belong to one account."""
    text = SETTINGS
    for number, pixel in enumerate(PIXELS):
        account = 'account = "18ce54d4xyz"' if number < 2 else ""
        token = f"emulator-pixel-token-{pixel}"
        text += (
            f'[[pixel]]\nid = "{pixel}"\n{account}\nevents = {{{{ purchase = "{pixel}e" }}}}\n'
            f'auth = {{{{ pixel_token = "{token}" }}}}\n'
        )
    named = ", ".join(f'"{pixel}"' for pixel in PIXELS)
    return f'{text}[[source]]\nname = "agency"\nkey = "{KEY}"\npixel = "q00"\npixels = [{named}]\n'


def an_order(pixel, **more):
    order = {"event": "purchase", "conversion_id": f"order-{pixel}", "email": "a@shop.alt"}
    return order | {"pixel": pixel} | more


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """An agency: one conversion of each pixel, three idle pixels, and one with refused ones."""
    stage = ConsoleStage(tmp_path_factory.mktemp("home"), settings_of_agency())
    await stage.start(people=PEOPLE)
    orders = [an_order(pixel) for pixel in PIXELS if pixel not in IDLE]
    bad = [
        an_order("q07", conversion_id=f"bad-{number}", value="-1", currency="EUR")
        for number in range(30)
    ]
    url = f"{stage.gateway.url}/v1/conversions"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(url, json={"conversions": [*orders, *bad]}) as answer,
    ):
        said = await answer.json()
        assert (said["accepted"], len(said["rejected"])) == (52, 30)
    yield stage
    await stage.stop()


async def page_of(stage, path="", *, name="ada"):
    page = await (await stage.signed_in(name)).get(f"/console{path}")
    assert page.status == 200
    return page.text


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def names_in(page):
    """Return the accounts of the table, in order."""
    return re.findall(r'<tr role="row" id="account-([^"]+)"', page)


def main_of(page):
    return page.partition("<main")[2]


async def test_accounts_are_listed_worst_first_with_idle_ones_last_and_folded(stage):
    page = await page_of(stage)

    assert names_in(page)[0] == "q07"
    assert [pixel for pixel in IDLE if pixel in names_in(page)] == []
    folded = page.partition('id="idle"')[2].partition("</details>")[0]
    assert "6 without traffic today" in text_of(folded)
    assert [pixel for pixel in IDLE if f"pixel={pixel}" not in folded] == []
    # The two pixels of an account are one row.
    assert names_in(await page_of(stage, "?q=q00")) == ["18ce54d4xyz"]


async def test_refused_share_is_explained_and_leads_to_the_conversions(stage):
    page = await page_of(stage)

    row = page.partition('id="account-q07"')[2].partition("</tr>")[0]
    assert "96.8 % rejected today" in text_of(row).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "/console/conversions?state=rejected&amp;pixel=q07&amp;when=today" in row


async def test_rows_are_listed_page_by_page(stage):
    first = await page_of(stage)
    second, third = await page_of(stage, "?page=2"), await page_of(stage, "?page=3")

    listed = [names_in(page) for page in (first, second, third)]
    assert [len(names) for names in listed] == [25, 25, 1]
    assert len({name for names in listed for name in names}) == 51
    assert "26 to 50 of 51" in text_of(second)
    assert re.findall(r'<a href="/console\?page=(\d)" rel="(\w+)">', second) == [
        ("1", "prev"),
        ("3", "next"),
    ]


@pytest.mark.parametrize("page", ["0", "999", "x", "-1"])
async def test_page_that_does_not_exist_is_the_first(stage, page):
    assert names_in(await page_of(stage, f"?page={page}"))[0] == "q07"


@pytest.mark.parametrize(
    ("typed", "found"),
    [("q1", 10), ("Q12", 1), ("18CE54d4xyz", 1), ("q01", 1), ("nothing", 0)],
)
async def test_filter_finds_accounts_by_their_name_or_pixel(stage, typed, found):
    page = await page_of(stage, f"?q={typed}")

    assert len(names_in(page)) == found
    assert f'value="{typed}"' in page


async def test_table_can_be_sorted_by_a_number(stage):
    page = await page_of(stage, "?sort=-conversions")

    assert names_in(page)[:2] == ["q07", "18ce54d4xyz"]
    assert names_in(await page_of(stage, "?sort=account"))[0] == "18ce54d4xyz"


async def test_account_with_several_pixels_leads_to_their_rows(stage):
    page = await page_of(stage, "?q=18ce")
    row = page.partition('id="account-18ce54d4xyz"')[2].partition("</tr>")[0]
    assert '<a href="/console?account=18ce54d4xyz">18ce54d4xyz</a>' in row
    assert 'href="/console/conversions?account=18ce54d4xyz&amp;when=today">2</a>' in row

    own = await page_of(stage, "?account=18ce54d4xyz")

    assert sorted(names_in(own)) == ["q00", "q01"]
    assert "/console/conversions?pixel=q00&amp;when=today" in own


async def test_viewer_of_one_pixel_gets_its_overview_at_once(stage):
    page = await page_of(stage, name="client")

    assert names_in(page) == []
    assert "1 received today" in text_of(page)
    assert "By source" not in text_of(page)
    others = [pixel for pixel in PIXELS if pixel != "q01" and pixel in main_of(page)]
    assert others == []


async def test_overview_of_a_pixel_says_each_alert_once_and_titles_other_problems(stage):
    store = stage.store
    now = time.time_ns() // 1_000_000
    alerts = [
        Alert(
            id=f"alert-{pixel}",
            kind=AlertKind.PIXEL_PAUSED,
            subject=pixel,
            reason="Reason: closed",
            opened_at=now,
            reported_at=now,
            unsent_phase=None,
        )
        for pixel in ("q07", "q08")
    ]
    await store.put(alerts)
    refused, paused = [await page_of(stage, f"?pixel={pixel}") for pixel in ("q07", "q08")]
    await store.put([msgspec.structs.replace(alert, resolved_at=now) for alert in alerts])

    assert text_of(main_of(paused)).lower().count("the pixel is paused") == 1
    assert 'id="health"' not in paused
    health = refused.partition('id="health"')[2].partition("</div>")[0]
    assert "<h2>Health</h2>" in health
    assert "rejected today" in text_of(health)
    assert "paused" not in health


@pytest.mark.parametrize(
    "query", ["", "?account=18ce54d4xyz", "?pixel=q07", "?q=q07", "?page=2", "?sort=-conversions"]
)
async def test_counts_of_hidden_pixels_do_not_leak(stage, query):
    page = main_of(await page_of(stage, query, name="client"))

    whole = page.partition('id="all"')[2].partition("</ul>")[0]
    counts = {int(number) for number in re.findall(r'class="count">(?:<a[^>]*>)?(\d+)', whole)}
    steps = {
        int(number) for number in re.findall(r"(\d+) (?:received|delivered|refused|dup)", page)
    }
    assert counts | steps <= {0, 1}
    assert "96.8" not in page


async def test_viewer_of_two_pixels_sees_two_rows_and_no_more(stage):
    page = await page_of(stage, name="two")

    assert sorted(names_in(page)) == ["18ce54d4xyz", "q02"]
    # The account's other pixel is hidden, so that its number leads to the visible one.
    assert "/console/conversions?pixel=q01&amp;when=today" in page
    assert "q00" not in main_of(page)
    assert "2 conversions =" in text_of(page)


async def test_all_conversions_say_since_when_and_lead_to_lists(stage):
    page = await page_of(stage)

    assert re.search(r"All conversions since \d{4}-\d\d-\d\d", text_of(page))
    assert '<a href="/console/conversions">82</a></span> conversions' in " ".join(page.split())
    assert '<a href="/console/conversions?state=rejected">30</a></span> rejected' in page


async def test_steps_of_the_chart_lead_to_the_conversions_of_their_time(stage):
    page = await page_of(stage, "?pixel=q07&span=hour")

    assert re.search(
        r'href="/console/conversions\?pixel=q07&amp;from=20\d\d-\d\d-\d\dT\d\d:\d\d&amp;to=20', page
    )


async def test_page_of_a_viewer_without_a_pixel_says_what_is_missing(stage):
    page = await page_of(stage, name="nobody")

    assert "No pixel." in text_of(page)
    assert "0 conversions =" in text_of(page)


@pytest.mark.parametrize(
    ("path", "typed", "found"),
    [
        ("pixels", "Q12", ["q12"]),
        ("pixels", "18CE54d4xyz", ["q00", "q01"]),
        ("pixels", "nothing", []),
        ("sources", "AGEN", ["agency"]),
        ("sources", "o6dk", ["client"]),
    ],
)
async def test_filter_finds_pixels_and_sources_by_their_name(stage, path, typed, found):
    page = await page_of(stage, f"/{path}?q={typed}&sort=-{path[:-1]}")

    rows = page.partition("<tbody")[2].split("<tr")[1:]
    names = [re.search(rf'href="/console/{path}/([^"]+)"', row)[1] for row in rows]
    assert sorted(names) == found
    assert f'value="{typed}"' in page
    assert f'name="sort" value="-{path[:-1]}"' in page


@pytest.mark.parametrize("path", ["pixels", "sources"])
async def test_filter_of_pixels_and_sources_finds_no_hidden_one(stage, path):
    page = await page_of(stage, f"/{path}?q=q07", name="client")

    assert "No match." in text_of(page)
    assert f'href="/console/{path}/' not in main_of(page)
