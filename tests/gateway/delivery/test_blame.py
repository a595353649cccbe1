"""Whether the account is to blame outlives the process."""

from worker_bench import Setting

from fakes import refused
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.state import Pause

NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")


async def test_after_a_restart_a_refused_probe_is_held_as_before_it():
    setting = Setting(replies=[refused(NO_IDENTIFIER)] * 1_000)
    await setting.record(*[f"c{i}" for i in range(100)])
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=1_000)

    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(3 * MINUTE)

    account = (await setting.store.balance())[0]
    assert (account.dead, account.delivered) == (0, 0)
    assert [pause.pixel for pause in await setting.store.load(Pause)] == ["o8z6j"]
    await setting.run.stop(within=1_000)
