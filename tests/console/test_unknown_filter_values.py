"""Values of filters that do not exist are said, with the ones that exist; empty searches help."""

import html
import re

import pytest
import pytest_asyncio
from agency_stage import ROW, agency_stage, page_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with agency_stage(tmp_path_factory.mktemp("unknown")) as stage:
        yield stage


async def said_by(stage, path, *, name="ada"):
    page = await page_of(stage, path, name=name)
    return [html.unescape(text) for text in re.findall(r'role="alert">([^<]+)</p>', page)]


async def test_event_in_other_capital_letters_is_the_event(stage):
    assert await said_by(stage, "/console/conversions?event=PurChase") == []


@pytest.mark.parametrize(
    ("path", "title", "value", "ends"),
    [
        ("conversions?state=ded", "State", "ded", "ignored. Did you mean “dead”? These exist: b"),
        ("conversions?test=yes", "Tests", "yes", "ignored. These exist: only, without."),
        ("conversions?pixel=q9", "Pixel", "q9", "see it. These exist: o6dkt, o8z6j"),
        ("conversions?account=acm", "Account", "acm", "see it. Did you mean “acme”? These exist"),
        ("conversions?source=nobody", "Source", "nobody", "see it. These exist: agency, client"),
        ("conversions?event=purchse", "Event", "purchse", "see it. Did you mean “purchase”?"),
        ("conversions?when=tody", "Time range", "tody", "ignored. Did you mean “today”?"),
        ("conversions?digest=x", "Email or phone", "x", "ignored."),
        ("conversions?since=x", "Since", "x", "ignored."),
        ("problems?kind=helt", "Kind", "helt", "ignored. Did you mean “held”?"),
        ("problems?source=nobody", "Source", "nobody", "see it. These exist: agency"),
        ("match-keys?account=acm", "Account", "acm", "see it. Did you mean “acme”?"),
        ("match-keys?days=8", "Days", "8", "ignored. These exist: 30, 7, 90."),
        ("deduplication?pixel=q9", "Pixel", "q9", "see it. These exist: o6dkt"),
        ("?account=acm", "Account", "acm", "see it. Did you mean “acme”?"),
        ("?pixel=q9", "Pixel", "q9", "see it. These exist: o6dkt"),
        ("?span=wek", "Time range of the charts", "wek", "ignored. Did you mean “week”?"),
        ("?sort=helt", "Sort", "helt", "ignored. Did you mean “held”?"),
        ("?page=two", "Place in the list", "two", "ignored."),
        ("conversions?before=x", "Place in the list", "x", "ignored."),
        ("conversions?column=recept", "Column", "recept", "ignored. Did you mean “receipt”?"),
        ("conversions?sort=received", "Sort", "received", "ignored."),
        ("problems?sort=-howmany", "Sort", "-howmany", "ignored. Did you mean “how-many”?"),
        ("problems?after=x", "Place in the list", "x", "ignored."),
        ("alerts?pixel=q9", "Pixel", "q9", "see it. These exist: o6dkt"),
        ("alerts?before=yesterday", "Place in the list", "yesterday", "ignored."),
        ("people/audit?before=yesterday", "Place in the list", "yesterday", "ignored."),
        ("people?sort=nam", "Sort", "nam", "ignored. Did you mean “name”?"),
        ("results?days=8", "Days", "8", "ignored. These exist: 14, 30, 90."),
        ("match-keys?pixel=q1&days=8", "Days", "8", "ignored. These exist: 30, 7, 90."),
        ("match-keys?page=two", "Place in the list", "two", "ignored."),
        ("deduplication?page=two", "Place in the list", "two", "ignored."),
    ],
)
async def test_value_that_does_not_exist_is_said_with_the_ones_that_do(
    stage, path, title, value, ends
):
    path = f"/console/{path}" if not path.startswith("?") else f"/console{path}"
    (said,) = await said_by(stage, path)

    assert said.startswith(f"{title} “{value}” ")
    assert ends in said


@pytest.mark.parametrize(
    "path",
    [
        "conversions?state=dead&pixel=q1&account=acme&source=agency&event=purchase&test=without",
        "conversions?pixel=-&event=-&when=today",
        "conversions?pixel=test:q1&source=test:agency&since=1&until=2",
        "conversions?pixel=tag:ads&source=x-api&event=q1e",
        "problems?kind=held&pixel=q1&source=agency",
        "match-keys?account=acme&days=30",
        "deduplication?account=acme",
    ],
)
async def test_values_that_exist_are_not_mentioned(stage, path):
    assert await said_by(stage, f"/console/{path}") == []


@pytest.mark.parametrize(
    ("path", "name", "ends"),
    [
        ("conversions?sate=dead", "sate", "ignored. Did you mean “state”?"),
        ("problems?state=dead", "state", "ignored."),
        ("match-keys?acount=acme", "acount", "ignored. Did you mean “account”?"),
        ("alerts?event=purchase", "event", "ignored. These exist: account, pixel."),
        ("results?dys=7", "dys", "ignored. Did you mean “days”?"),
        ("sources?name=agency", "name", "ignored."),
    ],
)
async def test_filter_that_a_page_does_not_have_is_said_with_those_it_has(stage, path, name, ends):
    (said,) = await said_by(stage, f"/console/{path}")

    assert said.startswith(f"Parameter “{name}” does not exist, so it is ")
    assert ends in said


async def test_message_about_a_parameter_names_each_public_one_once(stage):
    said = [
        (await said_by(stage, f"/console/{path}"))[0].partition("These exist: ")[2]
        for path in ("conversions?colum=receipt&digest=&before=", "sources?name=agency")
    ]

    assert said == [
        "account, column, event, from, id, pixel, problem, reason, source, state, test, to, when.",
        "column, q, sort.",
    ]


LINK = re.compile(r'href="(/console[^"#]*\?[^"#]*)')


async def test_no_link_of_the_console_asks_for_a_filter_that_is_ignored(stage):
    pages = ["", "/conversions", "/problems", "/match-keys", "/deduplication", "/results",
             "/alerts", "/sources", "/pixels", "/people", "/people/keys", "/people/audit",
             "?account=acme", "?pixel=q1"]  # fmt: skip
    found = {f"/console{path}" for path in pages}
    ignored = {}
    for _ in range(2):  # links of these pages, and of what these lead to
        for path in sorted(found - ignored.keys()):
            page = html.unescape(await page_of(stage, path))
            ignored[path] = [text for text in page.splitlines() if "so it is ignored" in text]
            kinds = {}
            for link in LINK.findall(page):
                kinds.setdefault(re.sub(r"=[^&]*|\d", "", link), link)
            found |= set(kinds.values())

    assert len(ignored) > 50
    assert {path: texts for path, texts in ignored.items() if texts} == {}


async def test_message_names_no_hidden_pixel(stage):
    path = "/console/conversions?pixel=q2&source=nobody&account=bolt"
    said = await said_by(stage, path, name="one")

    assert [text.partition(". ")[2] for text in said] == [
        "These exist: acme.",
        "These exist: q1.",
    ]
    assert "agency" not in " ".join(said)


@pytest.mark.parametrize(
    ("shown", "hidden", "missing"),
    [("pixel=q1", "pixel=q2", "pixel=q9"), ("account=acme", "account=bolt", "account=bolz")],
)
async def test_home_of_a_hidden_or_missing_name_is_only_the_notice(stage, shown, hidden, missing):
    own, *others = [
        await page_of(stage, f"/console?{query}", name="one") for query in (shown, hidden, missing)
    ]

    assert 'id="traffic"' in own
    for page in others:
        assert "is not in twite.toml, or you may not see it." in page
        assert "No open alerts" not in page
        assert "/console/match-keys" not in page
        assert 'id="traffic"' not in page
        assert 'id="all"' not in page


async def test_person_in_a_filter_is_masked(stage):
    (said,) = await said_by(stage, "/console/conversions?event=anna@shop.example")

    assert "anna" not in said


@pytest.mark.parametrize(
    ("query", "remedy"),
    [
        ("id=nothing", "No conversion has this id or receipt"),
        ("digest=" + "5f" * 32, "No stored conversion has this email or phone number"),
    ],
)
async def test_empty_search_names_its_remedy(stage, query, remedy):
    page = await page_of(stage, f"/console/conversions?{query}")

    assert ROW.findall(page) == []
    assert remedy in page
    assert "remove all filters" in page


async def test_search_for_nothing_asks_what_to_type(stage):
    ada = await stage.signed_in("ada")

    answer = await ada.post("/console/conversions/search", {"term": "  "})

    assert answer.location == "/console/conversions"
    assert "Type a conversion id, a receipt" in (await ada.get(answer.location)).text
