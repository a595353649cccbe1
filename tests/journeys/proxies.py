"""The proxies of deploy/proxies: real programs with these files, on free ports."""

import http.client
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from tls_front import certify

from free_port import free_port
from gateway_process import wait_for

FOLDER = Path(__file__).parents[2] / "deploy/proxies"
SITE = "t.shop.example"
# The proxies see these addresses, which are not their own.
VISITOR, STRANGER = "127.8.9.2", "127.7.7.7"


def installed(program: str) -> str | None:
    """Return the path of a program. Debian's nginx and HAProxy are not in every user's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Replace each part, which must be in the text."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Proxy:
    """A proxy in front of gateways on these ports. Subclasses adapt and start its file.

    Paths are relative to its folder, whose own path may contain a blank.
    """

    file: ClassVar[str]
    program: ClassVar[str]
    # Whether it sends a POST request to another gateway if one does not accept connections.
    resends: ClassVar[bool] = True

    def __init__(self, folder: Path, gateways: list[int]) -> None:
        self.folder = folder
        self.port, self.plain = free_port(), free_port()
        self.gateways = [f"127.0.0.1:{port}" for port in gateways]
        self.certificate, self.key = folder / "site.pem", folder / "site.key"
        certify(self.certificate, self.key, SITE)
        self._tls = ssl.create_default_context(cafile=str(self.certificate))

    @property
    def text(self) -> str:
        return (FOLDER / self.file).read_text()

    def __enter__(self) -> Self:
        self.write()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [installed(self.program) or self.program, *self.arguments()],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.env(),
            )
        try:
            wait_for(lambda: self.ask("GET", "/readyz")[0] == 200, self.ended)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def ended(self) -> str | None:
        return (self.folder / "log").read_text() if self.process.poll() is not None else None

    def write(self) -> None:
        raise NotImplementedError

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        return dict(os.environ)

    def reload(self) -> None:
        raise NotImplementedError

    def connection(
        self, *, plain: bool = False, source: str = VISITOR
    ) -> http.client.HTTPConnection:
        """Return a connection from the address `source`."""
        port = self.plain if plain else self.port
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(source, 0))
        if not plain:
            link.connect()
            link.sock = self._tls.wrap_socket(link.sock, server_hostname=SITE)
        return link

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        *,
        plain: bool = False,
        source: str = VISITOR,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Return status, headers and body of a request to the site."""
        link = self.connection(plain=plain, source=source)
        try:
            link.request(method, path, body, {"Host": SITE} | dict(headers))
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()


class Nginx(Proxy):
    file, program = "nginx.conf", "nginx"

    def write(self) -> None:
        servers = "\n    ".join(f"server {gateway};" for gateway in self.gateways)
        written = changed(
            self.text,
            {
                "server 127.0.0.1:8080;": servers,
                "listen 80;\n    listen [::]:80;": f"listen 127.0.0.1:{self.plain};",
                "listen 443 ssl;\n    listen [::]:443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                f"/etc/letsencrypt/live/{SITE}/fullchain.pem": self.certificate.name,
                f"/etc/letsencrypt/live/{SITE}/privkey.pem": self.key.name,
            },
        )
        (self.folder / "twite.conf").write_text(written)
        folders = "".join(
            f"    {name}_temp_path {name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root root;\n" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(
            f"{user}daemon off;\npid pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\n{folders}    include twite.conf;\n}}\n"
        )

    def arguments(self) -> list[str]:
        return ["-e", "stderr", "-p", str(self.folder), "-c", f"{self.folder}/nginx.conf"]

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)


class Haproxy(Proxy):
    file, program = "haproxy.cfg", "haproxy"

    def write(self) -> None:
        both = self.folder / "both.pem"
        both.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        servers = "\n    ".join(
            f"server gateway-{number} {gateway}" for number, gateway in enumerate(self.gateways, 1)
        )
        changes = {
            "server gateway-1 127.0.0.1:8080": servers,
            "bind :80": f"bind 127.0.0.1:{self.plain}",
            "bind :443": f"bind 127.0.0.1:{self.port}",
            f"/etc/haproxy/{SITE}.pem": both.name,
            "    user haproxy\n    group haproxy\n": "",
            "log /dev/log local0": "log stderr format raw local0",
        }
        (self.folder / "haproxy.cfg").write_text(changed(self.text, changes))

    def arguments(self) -> list[str]:
        # As Debian's service: a master that starts a new worker at each reload.
        return ["-Ws", "-f", str(self.folder / "haproxy.cfg")]

    def reload(self) -> None:
        self.process.send_signal(signal.SIGUSR2)


class Caddy(Proxy):
    file, program = "Caddyfile", "caddy"
    # https://github.com/caddyserver/caddy/pull/7547 is in no version that Debian has.
    resends = False

    def write(self) -> None:
        first = self.text.index("{$SITE")
        end = self.text.index("\n", first)
        tls = f"\n\ttls {self.certificate.name} {self.key.name}"
        self.admin = f"127.0.0.1:{free_port()}"
        options = (
            f"{{\n\tadmin {self.admin}\n\thttp_port {self.plain}\n\thttps_port {self.port}\n}}\n"
        )
        written = options + self.text[:end] + tls + self.text[end:]
        (self.folder / "Caddyfile").write_text(written)

    def env(self) -> dict[str, str]:
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
        home["XDG_CONFIG_HOME"] = str(self.folder)
        return dict(os.environ) | home | {"SITE": SITE, "GATEWAYS": " ".join(self.gateways)}

    def arguments(self) -> list[str]:
        return ["run", *self._file]

    def reload(self) -> None:
        words = ["caddy", "reload", "--force", "--address", self.admin, *self._file]
        subprocess.run(words, check=True, cwd=self.folder, env=self.env(), capture_output=True)

    @property
    def _file(self) -> list[str]:
        return ["--adapter", "caddyfile", "--config", str(self.folder / "Caddyfile")]


PROXIES = {kind.program: kind for kind in (Caddy, Nginx, Haproxy)}
