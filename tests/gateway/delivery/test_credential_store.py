"""Stored credentials are sealed in the store and used by the senders."""

import msgspec
import pytest
from msgspec.structs import replace

from builders import (
    NOW,
    a_destination,
    a_destination_with_oauth,
    a_submission,
    an_entry,
)
from memory_store.store import MemoryStore
from store_contract.actions import claim
from twite.app.logins import FollowSecrets
from twite.domain.destination import MissingCredentials, PixelToken
from twite.domain.errors import NotOpened, SettingsError
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.operations.sealed_payloads import opened
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.gateway.x_account.credential_store import CredentialCommands, CredentialStore
from twite.machine.seal import AesSeal

FIRST, SECOND = Secret("the-first-key-that-seals"), Secret("the-second-key-that-seals")
KEYS = a_destination_with_oauth().credentials
TOKEN = PixelToken(token=Secret("emulator-pixel-token-o8z6j"))
UNSIGNED = replace(a_destination(), credentials=MissingCredentials())


AUDIT_EVENT = AuditEvent(at=NOW, who="ada (command)", what="connect.done", subject="o8z6j")
TAG = "tag:crm"


class DeletingStore:
    """A store whose secrets are deleted by another process after each read."""

    def __init__(self, store):
        self._store = store
        self.put = store.put

    async def load(self, kind, *, prefix=""):
        found = await self._store.load(kind, prefix=prefix)
        await self._store.delete(kind, *(secret.name for secret in found))
        return found


class CredentialStage:
    def __init__(self, *, key=FIRST):
        self.store = MemoryStore()
        self.seal = AesSeal(key)
        self.next_key = AesSeal(SECOND, [FIRST])
        self.destinations = {"o8z6j": UNSIGNED}
        self.sent_to = []
        self.commands = CredentialCommands(
            secret_store=SecretStore(state=self.store, seal=self.seal),
            seal=self.seal,
            key=self.key,
            written=[UNSIGNED],
            destinations=self.destinations,
            send_to=self.send_to,
            outbox=self.store,
            passed=self.passed,
            note=self.store.people.note,
        )
        self.late = []  # being written to disk

    def key(self):
        if self.next_key is None:
            raise SettingsError(place="server.secret_key", message="is missing")
        return self.next_key

    def send_to(self, destination) -> None:
        self.sent_to.append(destination)

    async def passed(self) -> None:
        for entry in self.late:
            await self.store.record(a_submission(entry, receipt=entry.conversion_id))

    async def audit_events(self):
        return [entry.audit_event for entry in await self.store.people.audit(after=0, limit=9)]


def a_queued_event(number, seal):
    body = msgspec.json.encode({"sealed": seal.close(TAG, b'{"number": %d}' % number)})
    return replace(an_entry(f"order-{number}", pixel=TAG, event="purchase"), body=body)


async def test_stored_credentials_are_used_before_the_response_to_the_command():
    stage = CredentialStage()

    await stage.commands.keep_oauth("o8z6j", KEYS, screen_name="example_ads")

    assert stage.destinations["o8z6j"].credentials == KEYS
    assert [destination.credentials for destination in stage.sent_to] == [KEYS]


async def test_credentials_sealed_by_a_command_are_used():
    stage = CredentialStage()
    sealed = AesSeal(FIRST).close("login/o8z6j/pixel_token", TOKEN.token.reveal().encode())

    await stage.commands.keep("login/o8z6j/pixel_token", sealed)

    assert stage.destinations["o8z6j"].credentials == TOKEN


async def test_credentials_sealed_under_another_name_are_refused():
    stage = CredentialStage()
    sealed = AesSeal(FIRST).close("login/o8z7a/pixel_token", b"a-token")

    with pytest.raises(NotOpened):
        await stage.commands.keep("login/o8z6j/pixel_token", sealed)

    assert stage.destinations["o8z6j"] == UNSIGNED


async def test_deleted_credentials_are_no_longer_used():
    stage = CredentialStage()
    await stage.commands.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)

    await stage.commands.forget("o8z6j", PIXEL_TOKEN)
    one_left = stage.destinations["o8z6j"]
    await stage.commands.forget("o8z6j", OAUTH)

    assert (one_left.credentials, one_left.fallback) == (KEYS, None)
    assert stage.destinations["o8z6j"] == UNSIGNED


async def test_unchanged_credentials_do_not_restart_senders():
    stage = CredentialStage()
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)

    await stage.commands.keep_pixel_token("o8z6j", TOKEN)

    assert len(stage.sent_to) == 1


async def test_new_secret_key_opens_everything_after_a_rotation():
    stage = CredentialStage()
    await stage.commands.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)

    assert await stage.commands.reseal() == 2

    logins = CredentialStore(SecretStore(state=stage.store, seal=AesSeal(SECOND)))
    assert (await logins.all())["o8z6j"].oauth == KEYS


async def test_queued_tag_payloads_need_only_the_new_key_after_a_rotation():
    stage = CredentialStage()
    await stage.store.record(a_submission(a_queued_event(1, stage.seal), receipt="r1"))
    stage.late = [a_queued_event(2, AesSeal(FIRST))]

    await stage.commands.reseal()
    some = await stage.commands.reseal_payloads(after=0)

    batch = await claim(stage.store, pixel=TAG)
    found = [opened(each.body, name=TAG, seal=AesSeal(SECOND)) for each in batch.deliveries]
    assert (some.payloads, some.last) == (2, None)
    assert found == [b'{"number":1}', b'{"number":2}']


async def test_rotation_is_audited_and_a_rotation_without_a_key_is_not():
    stage = CredentialStage()

    await stage.commands.reseal(audit_event=AUDIT_EVENT)
    stage.next_key = None
    with pytest.raises(SettingsError):
        await stage.commands.reseal(audit_event=AUDIT_EVENT)

    assert await stage.audit_events() == [AUDIT_EVENT]


async def test_commands_for_credentials_are_audited():
    stage = CredentialStage()
    sealed = AesSeal(FIRST).close("login/o8z6j/pixel_token", TOKEN.token.reveal().encode())
    forget = replace(AUDIT_EVENT, what="connect.forget")

    await stage.commands.keep("login/o8z6j/pixel_token", sealed, audit_event=AUDIT_EVENT)
    await stage.commands.forget_sealed("login/o8z6j/pixel_token", audit_event=forget)

    assert await stage.audit_events() == [AUDIT_EVENT, forget]


async def test_credentials_deleted_during_a_rotation_stay_deleted():
    stage = CredentialStage()
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)
    away = DeletingStore(stage.store)
    room = SecretStore(state=away, seal=stage.next_key)

    await room.all("")

    assert list(await stage.store.load(SealedSecret)) == []


async def test_repr_of_a_login_hides_its_secrets():
    stage = CredentialStage()
    await stage.commands.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)

    shown = repr(await stage.commands.all())

    assert KEYS.consumer_secret.reveal() not in shown
    assert KEYS.token_secret.reveal() not in shown
    assert TOKEN.token.reveal() not in shown


def another_gateway(stage, *, key=FIRST):
    other = CredentialStage(key=key)
    secret_store = SecretStore(state=stage.store, seal=other.seal)
    other.commands = CredentialCommands(
        secret_store=secret_store,
        seal=other.seal,
        key=other.key,
        written=[UNSIGNED],
        destinations=other.destinations,
        send_to=other.send_to,
        outbox=stage.store,
        passed=other.passed,
        note=stage.store.people.note,
    )
    return other


async def test_gateways_use_each_others_changed_credentials():
    stage = CredentialStage()
    other = another_gateway(stage)

    await stage.commands.keep_pixel_token("o8z6j", TOKEN)
    await other.commands.follow()
    used = other.destinations["o8z6j"].credentials
    await stage.commands.forget("o8z6j", PIXEL_TOKEN)
    await other.commands.follow()

    assert (used, other.destinations["o8z6j"]) == (TOKEN, UNSIGNED)


async def test_gateway_reads_its_settings_again_after_a_rotation_at_another():
    stage = CredentialStage(key=SECOND)
    other = another_gateway(stage)
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)

    await other.commands.follow()

    assert other.destinations["o8z6j"].credentials == TOKEN


async def test_gateway_without_the_new_key_of_a_rotation_reports_it():
    stage = CredentialStage(key=SECOND)
    other = another_gateway(stage)
    other.next_key = AesSeal(FIRST)
    await stage.commands.keep_pixel_token("o8z6j", TOKEN)
    seen = []

    class Sees:
        def see(self, notice):
            seen.append(notice)

    await FollowSecrets(other.commands, None, Sees())()

    assert [notice.where for notice in seen] == ["vault"]
    assert "server.former_secret_keys" in seen[0].reason
