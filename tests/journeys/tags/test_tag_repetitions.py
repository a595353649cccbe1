"""Events without an id: each request runs the tags, also after a restart, except repeated hits."""

import shutil
from pathlib import Path

import pytest
from gateway_processes import Gateway, wait_for
from test_clients_serving import ECHOES, ask
from test_tag_destination import KEY_OF_THE_VENDOR, row_of, with_tag
from vendor import Vendor

TEMPLATES = Path(__file__).parents[2] / "tags/templates"
VIEW = "/g/collect?v=2&tid=G-1&cid=1.2&en=page_view&api_secret=journey-key-journey-key-journey"
KEPT = f"{VIEW}&_p=77&_s=1"  # the fields that GA4 repeats when it sends a hit again

pytestmark = pytest.mark.journey


def delivered_and_duplicates(gateway: Gateway) -> tuple[int, int]:
    gateway.drained()
    row = row_of(gateway, "tag:crm")
    return row["delivered"], row["duplicate"]


def test_each_page_view_runs_the_tag_and_a_repeated_hit_does_not(tmp_path, x_emulator):
    with Vendor() as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor, events='["page_view"]')
        with gateway:
            for path in (VIEW, VIEW, KEPT, KEPT):
                gateway.post({}, path)
            before = delivered_and_duplicates(gateway)
            gateway.stop()
        with gateway:
            for path in (VIEW, KEPT):
                gateway.post({}, path)
            after = delivered_and_duplicates(gateway)

    assert (before, after) == ((3, 1), (4, 2))
    assert vendor.count() == 4


def test_tag_event_interrupted_by_a_kill_is_counted_once(tmp_path, x_emulator):
    answers = [500]
    with Vendor(lambda _: answers[-1]) as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor, events='["page_view"]')
        with gateway:
            gateway.post({}, VIEW)
            wait_for(lambda: vendor.count() > 0)
            gateway.kill()
            answers.append(200)
            gateway.start()
            counted = delivered_and_duplicates(gateway)

    assert counted == (1, 0)
    assert all(came == vendor.came[0] for came in vendor.came)


def test_events_of_a_client_template_for_different_visitors_run_the_tag(tmp_path, x_emulator):
    (tmp_path / "runs.tpl").write_text(ECHOES)
    shutil.copy(TEMPLATES / "crm_post.tpl", tmp_path / "crm.tpl")
    with Vendor() as vendor:
        gateway = Gateway(tmp_path, x_emulator.url)
        with gateway.config.open("a") as config:
            config.write(
                '[[client]]\ntemplate = "runs.tpl"\n[[tag]]\nname = "crm"\n'
                'template = "crm.tpl"\nallow_hosts = ["127.0.0.1"]\n'
                f'fields = {{ endpoint = "{vendor.url}", key = "{KEY_OF_THE_VENDOR}" }}\n'
            )
        with gateway:
            for visitor in ("203.0.113.7", "203.0.113.8", "203.0.113.7"):
                ask(gateway, "/runs", '{"event_name": "page_view"}', x_forwarded_for=visitor)
            counted = delivered_and_duplicates(gateway)

    assert counted == (3, 0)
    assert vendor.count() == 3
