"""The recipes in CONTRIBUTING.md, each with a small example."""

import re
import tomllib
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path

import pytest

from builders import NOW, a_destination
from fakes import MovingClock
from memory_store.store import MemoryStore
from store_contract.claiming import ClaimLaws
from store_contract.recording import BalanceLaws, RecordingLaws
from store_contract.settling import SettlingLaws
from twite import diagnostics
from twite.app.store_access import open_operations
from twite.console.application import Console
from twite.console.page import NavigationGroup, PageLocation, PageRoute
from twite.console.request_checks import RequestChecks
from twite.domain.alert import RULES, AlertKind, AlertPhase, AlertRule
from twite.domain.people.users import Role, Session, User, Viewer
from twite.domain.secret import Secret
from twite.gateway.alerts import alert_store, monitor
from twite.gateway.alerts.alert_store import CheckResult
from twite.gateway.alerts.checks import AlertCheck, Thresholds
from twite.gateway.identity.authentication import AuthenticatedSession
from twite.gateway.ports.events import Alerted, SilentObserver
from twite.gateway.ports.findings import warning
from twite.gateway.ports.outbox import Discard
from twite.stores.factory import ENGINES
from written import ENVIRONMENT, GOOD, read, write

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src/twite"
PAGE = ROOT / "CONTRIBUTING.md"
LOOPBACK = [ip_network("127.0.0.0/8")]


def test_every_file_that_contributing_names_exists():
    page = PAGE.read_text()
    named = re.findall(r"`([a-z_]+/[\w./-]+)`", page)
    outside = ("deploy/", "docs/", "src/", "tests/")
    places = [ROOT if name.startswith(outside) else SRC for name in named]

    assert len(named) > 20
    assert [
        name for place, name in zip(places, named, strict=True) if not (place / name).exists()
    ] == []


def test_diagram_in_contributing_shows_the_layers_of_import_linter():
    page = PAGE.read_text()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(
        contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers"
    )

    assert re.findall(r'\["([\w |]+)<br/>', page) == [
        layer for layer in layers if layer != "__main__"
    ]


def test_every_name_in_contributing_is_in_the_code():
    page = PAGE.read_text()
    named = set(re.findall(r"`(?:\w+\.)?([A-Z]\w+|_\w+)`", page))
    code = "".join(path.read_text() for path in (*SRC.rglob("*.py"), *ROOT.glob("tests/**/*.py")))

    assert len(named) > 10
    assert named - set(re.findall(r"\w+", code)) == set()


RECIPES = dict(re.findall(r"^### (Add .+)\n((?:(?!##).*\n)+)", PAGE.read_text(), re.MULTILINE))


def test_recipes_are_those_of_the_page():
    assert {"Add a format", "Add a column", "Add an answer of X"} <= set(RECIPES)
    assert len(RECIPES) == PAGE.read_text().count("\n### ")


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_needs_at_most_eight_files(recipe):
    # An indented item is one of several choices.
    choices = re.findall(r"^   - .+(?:\n     .+)*", RECIPES[recipe], re.MULTILINE)
    steps = RECIPES[recipe]
    for choice in choices:
        steps = steps.replace(choice, "")

    most = max((files_in(choice) for choice in choices), key=len, default=set())
    needed = files_in(steps) | most

    assert 3 <= len(needed) <= 8, sorted(needed)


def files_in(text):
    """Return the files that a text names alone in a code span, not in a command."""
    named = re.findall(r"`([a-z_]+/[\w./-]+\.\w+)`", text)
    found = [place / name for name in named for place in (ROOT, SRC) if (place / name).is_file()]
    return {str(path.relative_to(ROOT)) for path in found}


# Add a store.


class CountingStore(MemoryStore):
    """A store in memory that counts the commits."""

    commits = 0

    async def record(self, submission):
        self.commits += 1
        return await super().record(submission)


class TestCountingStore(RecordingLaws, ClaimLaws, SettlingLaws, BalanceLaws):
    @pytest.fixture
    def store(self):
        return CountingStore()


class CountingEngine:
    """The engine that opens the example store."""

    is_server = False

    async def open(self, _place, options):
        return CountingStore(dedup_window=options.dedup_window)


async def test_new_store_is_opened_by_its_url(tmp_path, monkeypatch):
    monkeypatch.setitem(ENGINES, "counting", CountingEngine())
    settings = read(tmp_path, GOOD.replace("sqlite:", "counting:"))

    async with open_operations(settings) as owner:
        discarded = (await owner.move(Discard(deliveries=[1], note="none is there"), now=NOW)).moved

    assert (type(owner), discarded) == (CountingStore, 0)


# Add a console page.


class CouponsPage:
    def __init__(self, *, records):
        self._records = records

    @property
    def routes(self):
        place = PageLocation("Coupons", NavigationGroup.CONVERSIONS)
        return (PageRoute("GET", "/console/coupons", self._show, location=place),)

    async def _show(self, request):
        accounts = await self._records.balance()
        return request.page("layout.html", title=f"Coupons of {len(accounts)} sources")


class SignedIn:
    """An authentication with one valid session."""

    async def is_open(self):
        return True

    async def inside(self, _token):
        viewer = Viewer(name="vic", role=Role.VIEWER)
        session = Session(digest=b"", user="vic", begun_at=0, seen_at=0, address="", agent="")
        user = User(name="vic", role=Role.VIEWER, password=Secret(""), created_at=0, password_at=0)
        return AuthenticatedSession(viewer=viewer, session=session, user=user)


async def test_new_console_page_is_in_the_navigation_and_shows_figures():
    store = MemoryStore()
    console = Console(
        pages=[CouponsPage(records=store)],
        checks=RequestChecks(client_of=lambda _scope: "127.0.0.1", networks=LOOPBACK, url=None),
        authentication=SignedIn(),
        directory=store.people,
        clock=MovingClock(NOW),
        observer=SilentObserver(),
        known_as="shop",
    )

    status, page = await get(console, "/console/coupons")

    assert status == 200
    assert "<h1>Coupons of 0 sources</h1>" in page
    assert '<a href="/console/coupons" aria-current="page">Coupons</a>' in page


async def get(application, path):
    """Return the status and the text of a page for a signed-in browser."""
    sent = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"cookie", b"twite=" + b"t" * 43)],
    }

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


# Add a diagnostic check.


async def coupons(_settings):
    yield warning("coupons", "no coupon is set", "Coupons are not counted.", "Set one.")


async def test_new_check_runs_after_a_row_was_added(tmp_path, monkeypatch):
    monkeypatch.setattr(diagnostics, "CHECKS", (coupons, *diagnostics.CHECKS))

    findings = diagnostics.examine(write(tmp_path), ENVIRONMENT)
    found = [finding async for finding in until("coupons", findings)]

    assert found[-1].meaning == "Coupons are not counted."


async def until(topic, findings):
    async for finding in findings:
        yield finding
        if finding.topic == topic:
            return


def test_every_check_function_of_the_folder_is_used():
    init = (SRC / "diagnostics/__init__.py").read_text()
    files = [path.stem for path in (SRC / "diagnostics").glob("[!_]*.py")]
    others = "".join(path.read_text() for path in (SRC / "diagnostics").glob("*.py"))

    assert all(f"twite.diagnostics.{name} import" in init + others for name in files)


# Add an alert.


class ToyAlert(StrEnum):
    COUPONS_GONE = "coupons_gone"


async def test_new_alert_opens_and_resolves_after_a_row_was_added(monkeypatch):
    left = [1, 0, 5]

    def of_coupons(accounts, _context):
        now = left.pop(0)
        yield CheckResult(
            kind=ToyAlert.COUPONS_GONE,
            subject="shop",
            bad=now == 0,
            reason=f"{now} coupons are left after {len(accounts)} accounts",
        )

    row = AlertCheck(fact="accounts", check=of_coupons, kinds=frozenset({ToyAlert.COUPONS_GONE}))
    rules = {
        **RULES,
        ToyAlert.COUPONS_GONE: AlertRule(title="no coupons are left", fix="Add some.", urgent=True),
    }
    monkeypatch.setattr(alert_store, "RULES", rules)
    monkeypatch.setattr(monitor, "CHECKS", (*monitor.CHECKS, row))
    observer, clock, store = AlertObserver(), MovingClock(NOW), MemoryStore()
    watching = monitor.Monitor(
        listener=monitor.EventListener(clock),
        queries=store,
        state=store,
        disk=None,
        clock=clock,
        observer=observer,
        destinations=[a_destination()],
        sources=["shop"],
        thresholds=Thresholds(),
        new_id=lambda: "alert-1",
    )

    for _ in range(3):
        await watching.look()

    assert observer.seen == [
        (AlertPhase.OPENED, "0 coupons are left after 0 accounts"),
        (AlertPhase.RESOLVED, "0 coupons are left after 0 accounts"),
    ]


class AlertObserver(SilentObserver):
    """An observer that keeps the phases and reasons of alerts."""

    def __init__(self):
        self.seen = []

    def see(self, notice):
        if isinstance(notice, Alerted):
            self.seen.append((notice.phase, notice.alert.reason))


def test_every_alert_kind_has_a_rule_and_a_page():
    assert set(RULES) == set(AlertKind)
    assert [
        kind for kind in AlertKind if not (ROOT / f"docs/how-to/alerts/{kind}.md").exists()
    ] == []


def test_contributing_names_each_other_file_that_opens_an_alert():
    row = re.search(r"^\| Where does an alert open\? .+$", PAGE.read_text(), re.MULTILINE)[0]
    openers = {
        (AlertKind[kind].value, str(path.relative_to(SRC)))
        for path in SRC.rglob("*.py")
        if path.parent != SRC / "gateway/alerts"
        for kind in re.findall(r"AlertKind\.([A-Z_]+)", path.read_text())
    }
    elsewhere = {opener for opener in openers if opener[1] != "domain/alert.py"}

    assert len(elsewhere) > 3
    assert [opener for opener in elsewhere if not all(f"`{name}`" in row for name in opener)] == []
