"""Every route with every role: forbidden requests are refused, whatever the form contains."""

import re

import pytest

from twite.console.page import NavigationGroup
from twite.domain.people.users import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = {Role.VIEWER: "vic", Role.OPERATOR: "olga", Role.ADMIN: "ada"}
# Routes without sign-in. All others need a role.
OPEN = {
    ("GET", "/console/sign-in"),
    ("POST", "/console/sign-in"),
    ("GET", "/console/link/{token}"),
    ("POST", "/console/link/{token}"),
    ("POST", "/console/theme"),
}
# Admin-only routes; adding or removing one needs a decision here.
ADMINS = ("/console/people", "/console/people/keys", "/console/people/audit")


def path_of(route):
    return route.path.replace("{", "").replace("}", "").replace(":path", "")


async def request_route(person, route):
    if route.method == "GET":
        return await person.get(path_of(route))
    return await person.post(path_of(route))


async def test_only_sign_in_and_theme_need_no_session(stage):
    assert {(route.method, route.path) for route in stage.routes if route.role is None} == OPEN


async def test_every_change_needs_a_post_request(stage):
    assert {route.method for route in stage.routes} == {"GET", "POST"}


async def test_users_keys_and_audit_are_for_admins(stage):
    wrong = [
        route.path
        for route in stage.routes
        if route.path.startswith(ADMINS) and route.role is not Role.ADMIN
    ]

    assert wrong == []


async def test_visitor_without_a_session_is_redirected_from_every_page(stage):
    stranger = stage.browser()

    through = []
    for route in stage.routes:
        if route.role is not None:
            answer = await request_route(stranger, route)
            if route.method == "GET":
                fine = answer.status == 303 and answer.location.startswith("/console/sign-in?next=")
            else:
                fine = answer.status == 401
            if not fine:
                through.append((route.method, route.path, answer.status))

    assert through == []


@pytest.mark.parametrize("role", Role)
async def test_role_can_use_exactly_its_routes(stage, role):
    name = NAMES[role]
    person = await stage.signed_in(name)

    wrong = []
    for route in stage.routes:
        if route.role is None:
            continue
        answer = await request_route(person, route)
        refused = answer.status == 403 and "Not allowed" in answer.text
        if refused is role.includes(route.role) or answer.status in {401, 500, 503}:
            wrong.append((route.method, route.path, answer.status))
        if (await person.get("/console/account")).status != 200:
            await person.sign_in(name)

    assert wrong == []


@pytest.mark.parametrize("role", Role)
async def test_navigation_contains_only_pages_that_the_role_may_see(stage, role):
    person = await stage.signed_in(NAMES[role])

    page = (await person.get("/console/account")).text

    navigation = page.split("<nav ")[1].split("</nav>")[0]
    assert re.findall(r'<a href="([^"]+)"', navigation) == [
        route.path
        for group in NavigationGroup
        for route in stage.routes
        if route.location and route.location.group is group and role.includes(route.role)
    ]


async def test_repeated_refusals_do_not_fill_the_audit_log(stage):
    ada, vic = await stage.signed_in("ada"), await stage.signed_in("vic")

    for number in range(20):
        await vic.get(f"/console/people/users/number-{number}")

    # Other tests of this gateway have used `name` there, including for other users.
    entries = (await ada.get("/console/people/audit")).text
    assert entries.count("GET /console/people/users/number-") <= 1
