"""A load generator: posts to a gateway from several threads, and remembers acknowledgements."""

import http.client
import json
import random
import threading
import time
from contextlib import closing
from typing import Final, Self
from urllib.parse import urlsplit

from twite.testing.gateway import GatewayProcess

EACH: Final = 100
POSTERS: Final = 4
# One request in this many repeats an earlier one.
_REPEATS: Final = 8


class LoadShop:
    """Posts orders until the end of its block.

    With `repeats`, one request in eight repeats an earlier request that may or may not have been
    acknowledged, as a client that lost a response does. `unanswered` are requests sent completely
    without a response; `problems` are responses that no gateway should give.
    """

    def __init__(self, gateway: GatewayProcess, *, repeats: bool = True) -> None:
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.repeated = 0
        self.problems: list[str] = []
        self._gateway = gateway
        self._repeats = repeats
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._post_on, args=(number,)) for number in range(POSTERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _post_on(self, number: int) -> None:
        randomness = random.Random(number)  # noqa: S311 - a trial that can be repeated
        made = 0
        past: list[list[str]] = []
        while not self._stopping.is_set():
            again = self._repeats and bool(past) and randomness.random() < 1 / _REPEATS
            if again:
                ids = randomness.choice(past[-20:])
            else:
                ids = [f"k-{number}-{made + i}" for i in range(EACH)]
                made += EACH
                past.append(ids)
            if self._post(ids):
                self.acknowledged.update(ids)
                self.repeated += len(ids) if again else 0

    def _post(self, ids: list[str]) -> bool:
        """Post once; return whether all of it was acknowledged."""
        body = json.dumps(
            {
                "conversions": [
                    {"event": "purchase", "conversion_id": id_, "email": f"{id_}@example.com"}
                    for id_ in ids
                ]
            }
        )
        headers = {
            "Authorization": f"Bearer {self._gateway.key}",
            "Content-Type": "application/json",
        }
        host = urlsplit(self._gateway.url).netloc
        sent = False
        try:
            with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
                connection.request("POST", "/v1/conversions", body=body, headers=headers)
                sent = True
                answer = connection.getresponse()
                reply = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            if sent:
                self.unanswered.update(ids)
            time.sleep(0.02)
            return False
        if answer.status == 202:
            if reply["accepted"] + reply["duplicates"] != len(ids):
                self.problems.append(str(reply))
            return True
        if answer.status in {429, 503}:
            time.sleep(0.05)
        else:
            self.problems.append(f"{answer.status}: {reply}")
        return False
