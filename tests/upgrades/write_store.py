"""Write a small store with today's code, and the output of the commands for it.

    python tests/upgrades/write_store.py tests/upgrades/stores/0.1.0

Runs a gateway, the emulator of X and a vendor for a tag on this machine, for about two minutes.
Uses only stable interfaces: settings, routes, commands and the emulator. PYTHONPATH may thus name
the `src` of an older release.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

from gateway_process import GatewayProcess, environment, wait_for
from twite_emulator.process import Emulator, running_emulator

HERE = Path(__file__).parent
KEY = "upgrade-key-upgrade-key-upgrade"
OTHER_KEY = "another-key-another-key-another"
PAGE = "https://shop.example"
SETTINGS = """\
[server]
listen = "127.0.0.1:0"
secret_key = "a-key-that-seals-what-waits-for-tags"
[store]
url = "sqlite:twite.db"
keep_bodies = "3650d"
keep_history = "3650d"
keep_dead = "3650d"
[x]
api_url = "{x}"
rate = 10000000
timeout = "5s"
[log]
level = "warning"
[[pixel]]
id = "o8z6j"
account = "18ce54d4x5t"
events = {{ purchase = "o8z6k", sign_up = "o8z6m" }}
value_guard = "hold"
[[pixel]]
id = "o6dkt"
auth = {{ pixel_token = "{token}" }}
events = {{ purchase = "o6dkv" }}
[[source]]
name = "shop"
key = "upgrade-key-upgrade-key-upgrade"
pixel = "o8z6j"
region = "US"
origins = ["https://shop.example"]
[[source]]
name = "other"
key = "another-key-another-key-another"
pixel = "o6dkt"
[[tag]]
name = "crm"
template = "crm.tpl"
allow_hosts = ["127.0.0.1"]
events = ["sign_up"]
persons = "sealed"
fields = {{ endpoint = "{vendor}", key = "vendor-key" }}
"""
RIGHT_TOKEN = "emulator-pixel-token-o6dkt"
FAULTY = {"errors": [{"code": "INVALID_PARAMETER", "message": "no good", "parameter": "value"}]}
# Every conversion with a recorded history, by pixel.
SHOWN = {
    "o8z6j": [
        *("usual-1", "x-1", "page-1", "no-consent", "opted-out", "dead-1", "given-up", "held-1"),
        *("doubt-1", "waits-1", "waits-2", "replayed"),
    ],
    "o6dkt": ["other-1"],
    "tag:crm": ["tagged-1", "tagged-2"],
}


class Vendor:
    """The tag's vendor: answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.came = 0
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                vendor.came += 1
                self.send_response(vendor.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/in"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def settings_in(folder: Path, *, x: str, vendor: str, token: str = RIGHT_TOKEN) -> Path:
    """Write the settings that the store was written with, but for another X and vendor."""
    shutil.copy(HERE / "crm.tpl", folder / "crm.tpl")
    path = folder / "twite.toml"
    path.write_text(SETTINGS.format(x=x, vendor=vendor, token=token))
    return path


def reports() -> dict[str, list[str]]:
    """Return the commands whose answers must stay as they are, by name."""
    shows = {
        f"show {pixel} {id_}": ["show", id_, "--pixel", pixel, "--json"]
        for pixel, ids in SHOWN.items()
        for id_ in ids
    }
    return shows | {
        "accounting": ["accounting", "--json"],
        "dead": ["dead", "list", "--json"],
        "rejected": ["rejected", "--json"],
        "audit": ["audit", "list", "--json"],
        "alerts": ["alerts", "list", "--json"],
        "users": ["user", "list", "--json"],
        "keys": ["key", "list", "--json"],
    }


def twite(config: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "twite", *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        input=typed,
        env=environment() | {"LOGNAME": "grace"},
        check=False,
        timeout=120,
    )


def done(config: Path, *arguments: str, typed: str = "") -> str:
    ran = twite(config, *arguments, typed=typed)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def bought(id_: str, **more: object) -> dict[str, object]:
    plain = {"event": "purchase", "conversion_id": id_, "value": "49.90", "currency": "EUR"}
    return plain | {"email": f"{id_}@shop.example"} | more


def signed_up(id_: str, **more: object) -> dict[str, object]:
    return {"event": "sign_up", "conversion_id": id_, "email": f"{id_}@shop.example", **more}


def fill(gateway: GatewayProcess, x: Emulator, vendor: Vendor) -> None:
    """Bring every kind of record into the store."""
    config = gateway.config
    # The first pixel has no credential but the one in the store.
    login = ("login", "--pixel", "o8z6j", "--pixel-token")
    done(config, *login, typed="emulator-pixel-token-o8z6j\n")
    # Typical amounts are known after twenty conversions.
    usual = [bought(f"usual-{n}", value=f"{40 + n}.90") for n in range(1, 25)]
    gateway.post({"conversions": usual})
    gateway.drained()
    gateway.post(usual[0])
    in_xs_format(gateway, "x-1")
    from_page(gateway, "page-1")
    gateway.post({}, f"/g/collect?v=2&tid=G-1&cid=1.2&_p=77&_s=1&en=purchase&api_secret={KEY}")
    denied = {"ad_storage": "denied", "ad_user_data": "denied"}
    gateway.post(bought("no-consent", consent=denied))
    gateway.post({"consent": denied, "email": "opted-out@shop.example"}, "/v1/consent")
    gateway.post(bought("opted-out"))
    gateway.post(bought("rejected-1", event="unheard_of"))
    gateway.post({"event": "purchase", "conversion_id": "rejected-2"})
    gateway.post(bought("held-1", value="4990000"))
    gateway.post(signed_up("tagged-1"))
    gateway.post(bought("erased-1", email="erased@shop.example"))
    gateway.drained()
    adding = ("user", "add", "--password-stdin")
    done(config, *adding, "ada", "--role", "admin", typed="many words here 7\n")
    done(config, *adding, "olga", "--pixel", "o8z6j", typed="other words here 8\n")
    done(config, "key", "add", "reports", "--scope", "accounting", "--json")
    done(config, "erase", "--email", "erased@shop.example", "--yes")
    for id_ in ("dead-1", "given-up", "replayed"):
        x.fault("status", status=400, count=0, holding=id_, body=json.dumps(FAULTY))
    gateway.post({"conversions": [bought(id_) for id_ in ("dead-1", "given-up", "replayed")]})
    wait_for(lambda: gateway.balance()["dead"] == 3, gateway.ended)
    x.clear_faults()
    done(config, "dead", "replay", "replayed")
    done(config, "dead", "discard", "given-up", "--note", "the shop has refunded it")
    gateway.drained()
    other = {"Authorization": f"Bearer {OTHER_KEY}"}
    posted(gateway, bought("other-1"), other)
    alerts = ("alerts", "list", "--json")
    wait_for(lambda: "o6dkt" in twite(config, *alerts).stdout, gateway.ended, seconds=60)
    left_waiting(gateway, x, vendor)


def left_waiting(gateway: GatewayProcess, x: Emulator, vendor: Vendor) -> None:
    """From now on X and the vendor fail: conversions stay in the store, one of them ambiguous."""
    x.fault("drop_answer", holding="doubt-1")
    x.fault("status", status=503, count=0)
    vendor.status, before = 503, vendor.came
    for conversion in (
        bought("doubt-1"),
        bought("waits-1"),
        bought("waits-2"),
        signed_up("tagged-2"),
    ):
        gateway.post(conversion)
    wait_for(lambda: vendor.came > before, gateway.ended)
    # A circuit breaker tries other conversions first.
    wait_for(lambda: len(attempts(gateway, "doubt-1")) > 1, gateway.ended, seconds=180)


def attempts(gateway: GatewayProcess, id_: str) -> list[object]:
    found = gateway.get(f"/v1/conversions/o8z6j/{id_}")[1].get("attempts")
    return found if isinstance(found, list) else []


def in_xs_format(gateway: GatewayProcess, id_: str) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    conversion = {
        "event_id": "tw-o8z6j-o8z6k",
        "conversion_id": id_,
        "conversion_time": moment,
        "identifiers": [{"hashed_email": "a" * 64}],
    }
    headers = {"X-Pixel-Token": "emulator-pixel-token-o8z6j"}
    posted(gateway, {"conversions": [conversion]}, headers, "/12/measurement/conversions/o8z6j")


def from_page(gateway: GatewayProcess, id_: str) -> None:
    conversion = {
        **bought(id_),
        "at": 0,
        "pixel": "loaded",
        "url": f"{PAGE}/thanks?twclid=page1clk",
    }
    del conversion["email"]
    conversion["twclid"] = "26l6412g5p4iyj65a2oic2ayg2"
    message = {"v": 1, "sent": 0, "conversions": [conversion]}
    headers = {"Origin": PAGE, "Content-Type": "text/plain", "User-Agent": "Mozilla/5.0"}
    posted(gateway, message, headers, "/t?s=shop")


def posted(
    gateway: GatewayProcess,
    body: object,
    headers: dict[str, str],
    path: str = "/v1/conversions",
) -> None:
    plain = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(gateway.url + path, json.dumps(body).encode(), plain)
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def expected(config: Path) -> dict[str, object]:
    """Return the output of the commands for the store, by name.

    Missing commands are left out.
    """
    reported: dict[str, object] = {"written_at": time.time_ns() // 1_000_000}
    for name, arguments in reports().items():
        ran = twite(config, *arguments)
        if ran.stdout.strip():
            reported[name] = json.loads(ran.stdout)
        else:
            print(f"no {name}: {ran.stderr.strip()[:200]}")
    return reported


def packed(folder: Path) -> bytes:
    """Return the database and its neighbouring files, except those of running processes."""
    kept = BytesIO()
    with tarfile.open(fileobj=kept, mode="w:xz", preset=9) as archive:
        for path in sorted(folder.glob("twite.db*")):
            if path.suffix not in {".gateway", ".lock", ".reserve"}:
                archive.add(path, path.name, filter=_anonymous)
    return kept.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def write(target: Path, tell: Callable[[str], None] = print) -> None:
    """Write the store and the expected answers into a folder."""
    vendor = Vendor()
    with tempfile.TemporaryDirectory() as place, running_emulator("dedup_scope=all") as x:
        folder = Path(place)
        config = settings_in(folder, x=x.url, vendor=vendor.url, token="not-the-token")
        with GatewayProcess(config, note=folder / "twite.db.gateway", key=KEY) as gateway:
            try:
                fill(gateway, x, vendor)
            except BaseException:
                tell(gateway.log())
                tell(json.dumps(gateway.balance()))
                raise
            gateway.stop()
        store = packed(folder)
        with closing(sqlite3.connect(folder / "twite.db")) as connection:
            schema = connection.execute("PRAGMA user_version").fetchone()[0]
        reported = expected(config) | {"schema": schema}
    vendor.close()
    target.mkdir(parents=True, exist_ok=True)
    (target / "store.tar.xz").write_bytes(store)
    text = json.dumps(reported, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (target / "expected.json").write_text(text, "utf-8")
    tell(f"{target}: {len(store):,} bytes")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
