"""A local fake of Google: tokens, BigQuery, Firestore, and any other request.

It makes its own checks, and verifies signatures with a different library than Twite's.
"""

import base64
import contextlib
import json
import secrets
import threading
import time
import warnings
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import RSAKey

EMAIL = "twite@shop-1.iam.gserviceaccount.example"
PROJECT = "shop-1"
AUDIENCE = "https://oauth2.googleapis.com/token"
_DOCUMENTS = "/documents"

# Maps (path, number of earlier requests to it) to a status that replaces the usual one.
Behaviour = Callable[[str, int], int | None]


def key_file(**said: Any) -> str:
    """Return a service account key as Google issues it."""
    pem = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "key-1",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "token_uri": AUDIENCE,
        }
        | said,
        indent=2,
    )


@cache
def _key() -> rsa.RSAPrivateKey:
    """Return the key of this run. The key is short: reading one of the usual size takes 46 ms."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - see above


@cache
def _public_key() -> RSAKey:
    pem = (
        _key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return RSAKey.import_key(pem)


class Refused(Exception):
    def __init__(self, code: int, status: str, message: str = "") -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message or status


class GoogleDouble:
    """`asked` lists method, path and body of all requests except token requests."""

    def __init__(self, behaviour: Behaviour = lambda _path, _before: None, *, history: int = 3_600):
        self.behaviour = behaviour
        self.history = history
        self.granted: dict[str, str] = {}  # token → scopes
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.rows: list[dict[str, Any]] = []
        self.insert_ids: list[str] = []
        self.columns: set[str] | None = None
        self.documents: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.transactions: dict[str, dict[str, int]] = {}
        self.rolled_back: list[str] = []
        self.began = threading.Event()
        self.before_commit: Callable[[], None] = lambda: None
        self.before_answer: Callable[[str], None] = lambda _path: None
        self._counts: dict[str, int] = {}
        self._public = _public_key()
        self._lock = threading.RLock()
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): text for name, text in self.headers.items()}
                double.began.set()
                with double._lock:
                    status, said, more = double._came(self.command, self.path, headers, body)
                double.before_answer(self.path)
                text = said if isinstance(said, bytes) else json.dumps(said).encode()
                # The client may have given up.
                with contextlib.suppress(ConnectionError):
                    self.send_response(status)
                    for name, value in more.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def revoke(self) -> None:
        """Reject all tokens issued so far."""
        with self._lock:
            self.granted.clear()

    def count(self, path: str) -> int:
        return sum(path in asked for _, asked, _ in self.asked)

    def _came(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        path = unquote(urlsplit(target).path)
        before = self._counts.get(path, 0)
        self._counts[path] = before + 1
        try:
            if path == "/token":
                said = self.behaviour(path, before)
                if said is not None:
                    word = "unavailable" if said >= 500 else "denied"
                    return said, {"error": word, "error_description": "as played"}, {}
                return self._token(body)
            if path.startswith("/computeMetadata/"):
                return self._machine(path, headers)
            self.headers.append(headers)
            text = body.decode()
            json_body = "json" in headers.get("content-type", "")
            self.asked.append((method, target, json.loads(text) if json_body else text))
            self._play(path, before)
            return self._performed(path, target, headers, self.asked[-1][2])
        except Refused as refused:
            error = {"code": refused.code, "status": refused.status, "message": refused.message}
            error["errors"] = [{"reason": refused.message, "message": refused.message}]
            return refused.code, {"error": error}, {}

    def _play(self, path: str, before: int) -> None:
        said = self.behaviour(path, before)
        if said is not None:
            raise Refused(said, "UNAVAILABLE" if said >= 500 else "DENIED")

    def _token(self, body: bytes) -> tuple[int, Any, dict[str, str]]:
        form = {name: found[0] for name, found in parse_qs(body.decode()).items()}
        try:
            assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            claims = jwt.decode(form["assertion"], self._public, algorithms=["RS256"]).claims
            now = time.time()
            assert (claims["aud"], claims["iss"]) == (AUDIENCE, EMAIL)
            assert claims["iat"] - 60 <= now < claims["exp"] <= claims["iat"] + 3_600
            assert claims["scope"]
        except Exception as wrong:  # noqa: BLE001  any error
            said = {"error": "invalid_grant", "error_description": type(wrong).__name__}
            return 400, said, {}
        return 200, self._grant(claims["scope"]), {}

    def _grant(self, scopes: str) -> dict[str, Any]:
        token = f"ya29.{secrets.token_urlsafe(40)}"
        self.granted[token] = scopes
        return {"access_token": token, "expires_in": self.history, "token_type": "Bearer"}

    def _machine(self, path: str, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        flavor = {"Metadata-Flavor": "Google"}
        assert headers["metadata-flavor"] == "Google"
        if path.endswith("/project-id"):
            return 200, PROJECT.encode(), flavor
        as_json = flavor | {"Content-Type": "application/json"}
        if path.endswith("/token"):
            return 200, self._grant("of the machine"), as_json
        return 200, {"email": EMAIL, "scopes": ["of the machine"], "aliases": ["default"]}, as_json

    def _performed(
        self, path: str, target: str, headers: dict[str, str], body: Any
    ) -> tuple[int, Any, dict[str, str]]:
        if path in {"/gtag/js", "/gtm.js", "/analytics.js", "/analytics_debug.js"}:
            query = urlsplit(target).query
            return 200, f"// {path} {query}".encode(), {"Cache-Control": "private, max-age=900"}
        if path == "/g/collect":
            return 302, b"", {"Location": "https://www.google-analytics.com/elsewhere"}
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.granted:
            raise Refused(401, "UNAUTHENTICATED")
        scopes = self.granted[token]
        if path.endswith("/insertAll"):
            self._needs(scopes, "bigquery.insertdata")
            return 200, self._insert(body), {}
        if _DOCUMENTS in path and path.startswith("/v1/projects/"):
            self._needs(scopes, "datastore")
            return 200, self._firestore(path, body), {}
        return 200, {"path": path, "scopes": scopes, "echo": token}, {"X-Echo": token}

    def _needs(self, scopes: str, wanted: str) -> None:
        if f"https://www.googleapis.com/auth/{wanted}" not in scopes.split():
            raise Refused(403, "PERMISSION_DENIED", "insufficient scopes")

    def _insert(self, body: Any) -> Any:
        wrong = []
        for index, row in enumerate(body["rows"]):
            unknown = set(row["json"]) - (self.columns or set(row["json"]))
            if unknown and not body["ignoreUnknownValues"]:
                wrong.append({"index": index, "errors": [{"reason": "invalid", "message": "no"}]})
        for index, row in enumerate(body["rows"]):
            if wrong and (not body["skipInvalidRows"] or index in {row["index"] for row in wrong}):
                continue
            if row["insertId"] not in self.insert_ids:
                self.insert_ids.append(row["insertId"])
                self.rows.append(row["json"])
        return {"kind": "bigquery#tableDataInsertAllResponse"} | (
            {"insertErrors": wrong} if wrong else {}
        )

    def _firestore(self, path: str, body: Any) -> Any:
        place, _, act = path.rpartition(":")
        return {
            "batchGet": self._get,
            "runQuery": self._query,
            "beginTransaction": self._begin,
            "commit": self._commit,
            "rollback": self._rollback,
        }[act](place.removeprefix("/v1/"), body)

    def _get(self, _place: str, body: Any) -> Any:
        [name] = body["documents"]
        self._seen(body, name)
        if name not in self.documents:
            return [{"missing": name}]
        return [{"found": {"name": name, "fields": self.documents[name]}}]

    def _query(self, place: str, body: Any) -> Any:
        asked = body["structuredQuery"]
        [collection] = [selector["collectionId"] for selector in asked["from"]]
        found = []
        for name, fields in sorted(self.documents.items()):
            parent, _, _ = name.rpartition("/")
            if parent != f"{place}/{collection}":
                continue
            filters = asked.get("where", {}).get("compositeFilter", {}).get("filters", [])
            if all(_fits(fields, filter_["fieldFilter"]) for filter_ in filters):
                self._seen(body, name)
                found.append({"document": {"name": name, "fields": fields}})
        return found[: asked["limit"]] or [{"readTime": "2026-11-26T00:00:00Z"}]

    def _seen(self, body: Any, name: str) -> None:
        if "transaction" in body:
            self.transactions[body["transaction"]][name] = self.versions.get(name, 0)

    def _begin(self, _place: str, body: Any) -> Any:
        assert set(body["options"]) == {"readWrite"}
        transaction = base64.b64encode(secrets.token_bytes(9)).decode()
        self.transactions[transaction] = {}
        return {"transaction": transaction}

    def _rollback(self, _place: str, body: Any) -> Any:
        self.transactions.pop(body["transaction"])
        self.rolled_back.append(body["transaction"])
        return {}

    def _commit(self, _place: str, body: Any) -> Any:
        if "transaction" in body:
            self.before_commit()
            seen = self.transactions.pop(body["transaction"])
            if any(self.versions.get(name, 0) != version for name, version in seen.items()):
                raise Refused(409, "ABORTED")
        for write in body["writes"]:
            name, fields = write["update"]["name"], write["update"]["fields"]
            if "updateMask" in write:
                fields = _merged(self.documents.get(name, {}), fields)
            self.put(name, fields)
        return {"writeResults": [{} for _ in body["writes"]]}

    def put(self, name: str, fields: dict[str, Any]) -> None:
        self.documents[name] = fields
        self.versions[name] = self.versions.get(name, 0) + 1


def named(path: str, project: str = PROJECT) -> str:
    """Return the full name of a document."""
    return f"projects/{project}/databases/(default)/documents/{path}"


def _fits(fields: dict[str, Any], asked: Any) -> bool:
    found = fields.get(asked["field"]["fieldPath"])
    assert asked["op"] in {"EQUAL", "GREATER_THAN"}
    if asked["op"] == "EQUAL" or found is None:
        return found == asked["value"]
    return float(found["integerValue"]) > float(asked["value"]["integerValue"])


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        before = old.get(name, {})
        if "mapValue" in value and "mapValue" in before:
            inner = _merged(before["mapValue"].get("fields", {}), value["mapValue"]["fields"])
            merged[name] = {"mapValue": {"fields": inner}}
        else:
            merged[name] = value
    return merged
