"""A gateway is killed during a replay: the next one continues, and sends each conversion once."""

import asyncio
import subprocess
import sys

import pytest
from console_stage import SETTINGS, SimulatedBrowser
from problem_pages import problem_key, worked_off

from free_port import free_port
from gateway_process import GatewayProcess
from twite_emulator.process import counts_of, running_emulator

KEY = "a-source-key-of-some-length"
PASSWORD = "a sentence that does well"
MANY = 3_000
PROBLEMS = "/console/problems"


class ConsoleProcess(GatewayProcess):
    """A gateway process with an admin, whose events can be corrected."""

    def __init__(self, folder, x):
        config = folder / "twite.toml"
        self.console = f"http://127.0.0.1:{(port := free_port())}"
        settings = SETTINGS.format(secret="a-key-that-seals-secrets", x=x, local=port)
        config.write_text(settings.replace('purchase = "o8z6k"', 'purchase = "o8zzz"'))
        super().__init__(config, note=folder / "twite.db.gateway", key=KEY)

    def add_admin(self):
        added = subprocess.run(
            [
                *(sys.executable, "-m", "twite", "user", "add", "ada", "--role", "admin"),
                *("--password-stdin", "--config", str(self.config)),
            ],
            input=PASSWORD, text=True, capture_output=True, check=False, env=self.environment,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr

    def correct_events(self):
        text = self.config.read_text()
        self.config.write_text(text.replace('purchase = "o8zzz"', 'purchase = "o8z6k"'))


@pytest.mark.journey
@pytest.mark.timeout(180)
async def test_killed_replay_continues_after_the_start_and_sends_each_conversion_once(tmp_path):
    with running_emulator() as emulator, ConsoleProcess(tmp_path, emulator.url) as gateway:
        for start in range(0, MANY, 1_000):
            orders = {"conversions": [_order(start + number) for number in range(1_000)]}
            status, _ = await asyncio.to_thread(gateway.post, orders)
            assert status == 202
        await asyncio.to_thread(gateway.drained)
        assert gateway.balance()["held"] == MANY
        gateway.stop()
        gateway.correct_events()
        gateway.add_admin()
        gateway.start()

        async with SimulatedBrowser(gateway.console) as browser:
            assert (await browser.sign_in("ada", PASSWORD)).status == 303
            # A paused pixel sends nothing, so that no request is in flight at the kill.
            await browser.post("/console/pixels/o8z6j/pause")
            form = {"problem": await problem_key(browser, "does not know the event")}
            form |= {"which": "all", "event_to": "@today"}
            location = (await browser.post(f"{PROBLEMS}/replays", form)).location
            gateway.kill()
            gateway.start()
            page = await worked_off(browser, location)
            await browser.post("/console/pixels/o8z6j/resume")
            balance = await asyncio.to_thread(gateway.drained)
            ended = (await browser.get(location)).text

        assert f'#conversions">{MANY:,}</a></span>'.replace(",", "\u202f") in page
        assert balance["delivered"] == MANY
        assert "Nothing is left to send." in ended
        tallies = list(counts_of(emulator, "o8z6j")["o8z6k"].ids.values())
        assert len(tallies) == MANY
        assert all((tally.api, tally.counted) == (1, 1) for tally in tallies)


def _order(number):
    return {
        "event": "purchase", "conversion_id": f"order-{number}", "value": "49.90",
        "currency": "EUR", "twclid": "23opevjt88psuo13lu8d020qkn",
    }  # fmt: skip
