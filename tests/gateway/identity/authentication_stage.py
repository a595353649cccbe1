"""Console sign-in, with a fake clock and a memory store."""

import pyotp

from fakes import MovingClock, PlainPasswords
from memory_store.directory import MemoryDirectory
from memory_store.state import MemoryState
from twite.domain.people.users import (
    AuditEvent,
    Role,
    User,
    UserAdded,
)
from twite.domain.secret import Secret
from twite.domain.times import HOUR, MINUTE
from twite.gateway.identity.authentication import (
    Authentication,
    LoginAttempt,
    LoginSucceeded,
    SessionTimes,
)
from twite.gateway.identity.two_factor import TwoFactor
from twite.gateway.ports.secret_store import SecretStore
from twite.machine.seal import AesSeal

PASSWORD = "a sentence that does well"


TOTP = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


AUDIT_EVENT = AuditEvent(at=0, who="grace", what="user.test", subject="ada")


class AuthenticationStage:
    def __init__(self) -> None:
        self.clock = MovingClock()
        self.state = MemoryState()
        self.people = MemoryDirectory(self.state)
        self.passwords = PlainPasswords()
        self.secret_store = SecretStore(
            state=self.state, seal=AesSeal(Secret("a-key-that-seals-secrets"))
        )
        self.authentication = Authentication(
            directory=self.people,
            passwords=self.passwords,
            clock=self.clock,
            secret_store=self.secret_store,
            times=SessionTimes(idle=30 * MINUTE, longest=12 * HOUR),
        )

    async def add(self, name="ada", **said) -> User:
        user = User(
            name=name,
            created_at=0,
            password_at=0,
            **{"role": Role.ADMIN, "password": Secret(f"plain:{PASSWORD}")} | said,
        )
        await self.people.change(UserAdded(user=user), audit_event=AUDIT_EVENT)
        return user

    async def try_(self, name="ada", password=PASSWORD, code="", address="203.0.113.7"):
        return await self.authentication.sign_in(
            LoginAttempt(
                name=name, password=password, code=code, address=address, agent="a browser"
            )
        )

    async def token(self) -> str:
        signed_in = await self.try_()
        assert isinstance(signed_in, LoginSucceeded)
        return signed_in.token.reveal()

    async def with_codes(self) -> list[str]:
        """Enable two-factor authentication for ada; return her recovery codes.

        This uses up the current code.
        """
        user = await self.add()
        factor = TwoFactor(directory=self.people, secret_store=self.secret_store, clock=self.clock)
        code = self.code()
        recovery = await factor.begin(user, Secret(TOTP), code)
        assert recovery is not None
        return list(recovery)

    def code(self, *, later=0) -> str:
        return pyotp.TOTP(TOTP).at((self.clock.now() + later) // 1_000)
