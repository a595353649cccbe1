"""Runs of a tag that calls Google's services, against a local fake."""

from local_engines import LocalEngines

from google_double import key_file, named
from twite.domain.incoming_request import IncomingRequest
from twite.machine.system import SystemClock
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.google_account import GoogleAccount
from twite.tags.google.google_key import read_key
from twite.tags.google.requests import GoogleClient, GoogleEndpoints
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import TagPayload
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.runtime.public_web import PublicWeb
from twite.tags.template.permissions import Grant
from twite.tags.template.template import Template, TemplateKind, TemplatePart

AT = 1_795_600_000_000


ROW = {"projectId": "*", "datasetId": "*", "tableId": "*", "operation": "write"}


ANY = {"projectId": "*", "path": "*", "operation": "read_write"}


GRANTS = (
    Grant(permission="access_bigquery", parameters={"allowedTables": [ROW]}),
    Grant(permission="access_firestore", parameters={"allowedOptions": [ANY]}),
    Grant(permission="send_http", parameters={"allowedUrls": "any"}),
    Grant(permission="use_google_credentials", parameters={"allowedScopes": ["*"]}),
    Grant(permission="logging", parameters={"environments": "all"}),
    Grant(permission="read_request", parameters={"requestAccess": "any"}),
)


NAMES = """
const BigQuery = require('BigQuery');
const Firestore = require('Firestore');
const JSON = require('JSON');
const log = require('logToConsole');
const table = {datasetId: 'd', tableId: 't'};
const ok = data.gtmOnSuccess, no = data.gtmOnFailure;
const fail = (why) => { log(JSON.stringify(why)); no(); };
"""


USER = named("users/1")


class NotForX:
    async def take(self, _request, **_source):
        return None


class Seen:
    def __init__(self):
        self.lines = []

    def see(self, notice):
        self.lines.append(notice.text)


def template(code):
    return Template(
        kind=TemplateKind.TAG,
        id="",
        name="A tag",
        description="",
        fields=(),
        code=TemplatePart(text=NAMES + code, line=1),
        grants=GRANTS,
        tests=None,
        notes="",
    )


def own_account(double):
    return GoogleAccount(read_key(key_file()), api_url=double.url)


async def run(
    double, code, *, seed=7, at=AT, event=None, account=own_account, seen=None, request=None, **said
):
    """Run a tag with this code once; return the result."""
    clock, web = SystemClock(), PublicWeb()
    account = account(double) if account is own_account else account
    google = GoogleClient(account, clock=clock, endpoints=GoogleEndpoints(double.url))
    engine_pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=clock.elapsed)
    engine_pool.start()
    run_context = RunContext(
        engine_pool=engine_pool,
        web=web,
        google=google,
        to_x=NotForX(),
        storage=TemplateStorage(),
        clock=clock,
        observer=seen or Seen(),
    )
    rule = TagRule(name="crm", **({"timeout": 10_000} | said))
    container = Container(
        tags=(ContainerTag(name="crm", template="main"),), templates={"main": template(code)}
    )
    container_config = ContainerConfig(container=container, rules={"crm": rule})
    letter = TagPayload(
        pixel="o8z6j",
        at=at,
        event=event or {"event_name": "purchase"},
        request=request or IncomingRequest(),
    )
    tag_run = TagRun(
        run_context, container_config=container_config, rule=rule, payload=letter, seed=seed
    )
    try:
        return await tag_run.run()
    finally:
        await engine_pool.stop()
        await google.stop()
        await web.stop()


INSERT = "BigQuery.insert(table, [{a: 1}, {a: 2}], {}).then(ok, fail);"
