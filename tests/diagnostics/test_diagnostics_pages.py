"""Diagnostics of sources that accept requests from pages."""

from twite.diagnostics import CheckStatus
from twite.diagnostics.endpoint import pages
from written import GOOD, read

PROXIES = 'trusted_proxies = ["127.0.0.1/32"]\n'
PUBLIC = 'public_url = "https://t.shop.example"\n'


def found(folder, text=GOOD):
    return [(page.status, page.found) for page in pages(read(folder, text))]


def test_gateway_on_the_site_of_the_pages_can_store_click_ids(tmp_path):
    assert found(tmp_path) == [
        (
            CheckStatus.PASSED,
            "shop: click ids from https://shop.example are stored in cookies of shop.example",
        )
    ]


def test_gateway_on_another_site_cannot_store_click_ids(tmp_path):
    elsewhere = GOOD.replace("https://t.shop.example", "https://twite.example")

    assert found(tmp_path, elsewhere) == [
        (
            CheckStatus.WARNING,
            "shop: https://shop.example is on a different site than https://twite.example",
        )
    ]


def test_missing_trusted_proxy_is_a_warning(tmp_path):
    (first, *_) = found(tmp_path, GOOD.replace(PROXIES, ""))

    assert first == (CheckStatus.WARNING, "server.trusted_proxies is empty")


def test_missing_public_url_is_a_warning(tmp_path):
    assert found(tmp_path, GOOD.replace(PUBLIC, "")) == [
        (CheckStatus.WARNING, "server.public_url is not set")
    ]


def test_public_url_without_https_is_a_warning(tmp_path):
    plain = GOOD.replace("https://t.shop.example", "http://t.shop.example")

    assert found(tmp_path, plain)[0][0] is CheckStatus.WARNING


def test_source_for_servers_only_has_no_findings_about_pages(tmp_path):
    assert found(tmp_path, GOOD.replace('origins = ["https://shop.example"]\n', "")) == []


def test_rate_limit_per_address_of_several_processes_is_explained(tmp_path):
    several = GOOD.replace("sqlite:twite.db", "postgresql:///twite").replace(
        "[server]\n", "[server]\nworkers = 4\n"
    )

    (first, *_) = found(tmp_path, several)

    status, said = first
    assert status is CheckStatus.PASSED
    assert said == (
        "each of the 4 processes counts requests of pages alone: one address may send up to 2,400 "
        "a minute to this machine"
    )
