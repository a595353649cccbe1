"""Sign-ins to the console through several gateways on one database."""

import asyncio

import pytest

from fakes import MovingClock, PlainPasswords
from twite.domain.people.users import AuditEvent, Role, User, UserAdded
from twite.domain.secret import Secret
from twite.domain.times import MINUTE
from twite.gateway.identity.authentication import Authentication, LoginAttempt, LoginSucceeded
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore

PASSWORD = "a sentence that does well"


class Gateways:
    """The sign-in of several gateways behind a load balancer."""

    def __init__(self, stores):
        self.clock = MovingClock()
        self.passwords = PlainPasswords()
        self.replicas = [
            Authentication(
                directory=store.people,
                passwords=self.passwords,
                clock=self.clock,
                secret_store=None,
            )
            for store in stores
        ]

    async def sign_in(self, number, password):
        attempt = LoginAttempt(name="ada", password=password, address="203.0.113.7")
        return await self.replicas[number % len(self.replicas)].sign_in(attempt)


@pytest.fixture
async def gateways(postgres_url):
    stores = [await PostgresStore.open(postgres_url, StoreOptions()) for _ in range(2)]
    ada = User(
        name="ada",
        role=Role.ADMIN,
        password=Secret(f"plain:{PASSWORD}"),
        created_at=0,
        password_at=0,
    )
    event = AuditEvent(at=0, who="grace", what="user.test", subject="ada")
    await stores[0].people.change(UserAdded(user=ada), audit_event=event)
    yield Gateways(stores)
    for store in stores:
        await store.close()


async def test_failed_sign_ins_count_at_all_gateways(gateways):
    for number in range(5):
        await gateways.sign_in(number, "wrong")

    waits = [(await gateways.sign_in(number, PASSWORD)).wait for number in range(2)]
    await gateways.clock.advance(15 * MINUTE)

    assert waits == [1, 1]
    assert isinstance(await gateways.sign_in(1, PASSWORD), LoginSucceeded)


async def test_simultaneous_wrong_passwords_at_two_gateways_share_one_limit(gateways):
    await asyncio.gather(*(gateways.sign_in(number, f"guess {number}") for number in range(40)))

    assert gateways.passwords.verified == 5
