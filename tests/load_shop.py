"""Clients that post orders in many ways, for trials that end the gateway while they run."""

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlsplit

from gateway_process import GatewayProcess

# One round in this many repeats an earlier one.
_REPEATS: Final = 8
_BATCH: Final = 100
_PIPELINED: Final = 10
_ANSWER_SECONDS: Final = 10
_PAUSE_SECONDS: Final = 0.005


class PostingStyle(StrEnum):
    """How a client posts. The gateway handles the same path in a fast and in an ordinary way."""

    BATCH = "batches"  # one connection for each, with headers and body sent separately
    SINGLE = "single conversions"  # all on one connection, with the same headers
    NAMED = "idempotency keys"  # as above, with an Idempotency-Key
    PIPELINED = "pipelined requests"  # several requests in one write
    HALF_CLOSED = "half-closed connections"  # the client stops sending before the response
    IN_PIECES = "requests in pieces"  # with a pause in the body
    CHUNKED = "chunked batches"  # handled in the ordinary way


_KEEPS: Final = frozenset({PostingStyle.SINGLE, PostingStyle.NAMED, PostingStyle.PIPELINED})
_BATCHES: Final = frozenset({PostingStyle.BATCH, PostingStyle.CHUNKED})
# How many clients send single conversions, because the gateway stores together what arrives
# together. The other styles have one client each.
_SINGLE_CLIENTS: Final = 8

# The conversion ids of each request of a round.
_Round = Sequence[Sequence[str]]


class LoadShop:
    """Posts orders while its `with` block runs, with clients of each style.

    With `repeats`, one round in eight repeats an earlier round that may or may not have been
    acknowledged, as a client does after a lost response. `unanswered` lists complete requests
    without a response; `problems` lists responses that a gateway must never return.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        *,
        repeats: bool = True,
        styles: Iterable[PostingStyle] = PostingStyle,
    ) -> None:
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.repeated = 0
        self.problems: list[str] = []
        self._gateway = gateway
        self._repeats = repeats
        self._stopping = threading.Event()
        self._clients = [
            style
            for style in styles
            for _ in range(_SINGLE_CLIENTS if style is PostingStyle.SINGLE else 1)
        ]
        self._threads = [
            threading.Thread(target=self._post_on, args=(number, style))
            for number, style in enumerate(self._clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged_by(self) -> Counter[PostingStyle]:
        """The number of acknowledged conversions by style."""
        return Counter(self._clients[int(id_.split("-")[1])] for id_ in self.acknowledged)

    def _post_on(self, number: int, style: PostingStyle) -> None:
        randomness = random.Random(number)
        made = 0
        past: list[_Round] = []
        client = ShopClient(self._gateway, style)
        while not self._stopping.is_set():
            again = self._repeats and bool(past) and randomness.random() < 1 / _REPEATS
            if again:
                requests = randomness.choice(past[-20:])
            else:
                requests = _new_round(style, number, made)
                made += len(requests) * len(requests[0])
                past.append(requests)
            done = self._post(client, requests)
            self.acknowledged.update(done)
            self.repeated += len(done) if again else 0
        client.close()

    def _post(self, client: "ShopClient", requests: _Round) -> list[str]:
        """Post a round once; return the acknowledged ids."""
        done: list[str] = []
        answered = 0
        try:
            client.send(requests)
            for ids in requests:
                status, _, reply = client.receive()
                answered += 1
                if status == 202:
                    done += ids
                    if reply["accepted"] + reply["duplicates"] != len(ids):
                        self.problems.append(str(reply))
                elif status in {429, 503}:
                    time.sleep(0.05)
                else:
                    self.problems.append(f"{status}: {reply}")
        except (OSError, ValueError):
            if client.has_sent:
                self.unanswered.update(id_ for ids in requests[answered:] for id_ in ids)
            client.close()
            time.sleep(0.02)
        return done


class ShopClient:
    """A client that writes bytes, because no library sends half a request, or several at once.

    `has_sent` is whether the last round was sent completely.
    """

    def __init__(self, gateway: GatewayProcess, style: PostingStyle) -> None:
        self.has_sent = False
        self._gateway = gateway
        self._style = style
        self._connection: socket.socket | None = None

    def send(self, requests: _Round) -> None:
        """Send the requests of a round. Raises OSError."""
        self.has_sent = False
        if self._style not in _KEEPS:
            self.close()
        if self._connection is None:
            there = urlsplit(self._gateway.url)
            self._connection = socket.create_connection(
                (there.hostname, there.port), timeout=_ANSWER_SECONDS
            )
            self._answers = self._connection.makefile("rb")
        pieces = self._pieces(requests)
        for piece in pieces[:-1]:
            self._connection.sendall(piece)
            time.sleep(_PAUSE_SECONDS)
        self._connection.sendall(pieces[-1])
        self.has_sent = True
        if self._style is PostingStyle.HALF_CLOSED:
            self._connection.shutdown(socket.SHUT_WR)

    def receive(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Receive a response: status, headers and JSON. Raises OSError or ValueError."""
        status = self._answers.readline()
        headers = {}
        while line := self._answers.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = self._answers.read(length)
        if not length or len(body) < length:
            raise ConnectionResetError
        return int(status.split()[1]), headers, json.loads(body)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._answers.close()
            self._connection.close()
            self._connection = None

    def _pieces(self, requests: _Round) -> list[bytes]:
        if self._style is PostingStyle.PIPELINED:
            return [b"".join(head + body for head, body in map(self._spelled, requests))]
        ((head, body),) = map(self._spelled, requests)
        if self._style is PostingStyle.BATCH:
            return [head, body]
        if self._style is PostingStyle.IN_PIECES:
            half = len(body) // 2
            return [head + body[:half], body[half:]]
        return [head + body]

    def _spelled(self, ids: Sequence[str]) -> tuple[bytes, bytes]:
        """Return the bytes of a request: its head and its body."""
        orders = [
            {"event": "purchase", "conversion_id": id_, "email": f"{id_}@example.com"}
            for id_ in ids
        ]
        body = json.dumps({"conversions": orders} if len(orders) > 1 else orders[0]).encode()
        lines = [
            "POST /v1/conversions HTTP/1.1",
            "Host: trial.example",
            f"Authorization: Bearer {self._gateway.key}",
            "Content-Type: application/json",
        ]
        if self._style is PostingStyle.NAMED:
            lines.append(f"Idempotency-Key: {ids[0]}")
        if self._style is PostingStyle.CHUNKED:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode(), body


def _new_round(style: PostingStyle, number: int, made: int) -> _Round:
    # All ids have the same length, so a client that keeps its connection sends identical headers.
    if style in _BATCHES:
        return [[f"k-{number:02}-{made + i:07}" for i in range(_BATCH)]]
    many = _PIPELINED if style is PostingStyle.PIPELINED else 1
    return [[f"k-{number:02}-{made + i:07}"] for i in range(many)]
