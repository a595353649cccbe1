"""The parts of a running gateway that stay when its settings are reloaded."""

from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from twite.app.feature import RunBasis, RunningFeature
from twite.app.logins import CredentialVault
from twite.app.reload_command import ReloadCommand
from twite.app.sync_command import SyncCommand
from twite.app.value_rules.table_files import ValueRuleFiles
from twite.app.webhook_erasure import WebhookErasure
from twite.app.workers import GatewayAddress
from twite.config.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.identity.key_uses import KeyUses
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ingest.webhook_log import WebhookLog
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.operations.dry_run import DryRun
from twite.gateway.operations.moves import WakingMoves
from twite.gateway.operations.replays import Replays
from twite.gateway.ports.directory import Passwords
from twite.gateway.ports.events import Observer
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.store import Store
from twite.gateway.x_account.credential_store import CredentialCommands
from twite.gateway.x_account.sign_in import XSignIn
from twite.observers.metrics import Metrics
from twite.senders.in_process_emulator import InProcessEmulator


class GatewayParts(msgspec.Struct, frozen=True, kw_only=True):
    """See above.

    `passwords` hashes passwords; None for Argon2id.
    """

    store: Store
    vault: CredentialVault | None
    runner: DeliveryRunner
    clock: MonotonicClock
    wall_clock: Clock
    observer: Observer
    metrics: Metrics
    guards: ValueGuards
    value_rules: ValueRuleFiles
    feature: RunningFeature
    run_basis: RunBasis
    address: GatewayAddress
    passwords: Passwords | None
    examine: Callable[[], AsyncIterator[CheckFinding]] | None
    credential_commands: CredentialCommands | None
    sign_in: XSignIn
    reload: ReloadCommand
    run_sync: SyncCommand
    webhook_log: WebhookLog
    webhook_erasure: WebhookErasure
    test_emulator: InProcessEmulator
    replays: Replays
    key_uses: KeyUses
    dedup_count: DedupCount

    @property
    def secret_store(self) -> SecretStore | None:
        """The secrets in the store; None without a key."""
        return self.vault.secret_store if self.vault else None

    def dry_run(self, settings: Settings, destinations: Mapping[str, Destination]) -> DryRun:
        return DryRun(
            destinations=destinations,
            sources=settings.sources(),
            queries=self.store,
            clock=self.clock,
            is_cautious=settings.is_cautious,
        )

    @property
    def moves(self) -> WakingMoves:
        """Moves deliveries, and wakes their workers."""
        return WakingMoves(moves=self.store, wake_all=self.runner.wake_all)
