"""X's official SDK, one conversion a request, as its users would send them.

Runs in an environment of its own, since the SDK is no part of ours:

    .venv-bench/bin/python bench/sdk.py URL PIXEL SECONDS
"""

import json
import sys
import time

from twitter_ads.client import Client
from twitter_ads.http import Request

# X's published example credentials, which the emulator knows.
KEYS = (
    "xvz1evFS4wEEPTGEFPHBog",
    "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
)


def main(url: str, pixel: str, seconds: float) -> None:
    client = Client(*KEYS)
    end = time.perf_counter() + seconds
    sent = 0
    while time.perf_counter() < end:
        body = {
            "conversions": [
                {
                    "conversion_time": "2026-11-24T10:00:00.000Z",
                    "event_id": "o8z6k",
                    "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
                    "conversion_id": f"sdk-{sent}",
                    "value": "49.90",
                    "price_currency": "EUR",
                }
            ]
        }
        Request(
            client,
            "post",
            f"/12/measurement/conversions/{pixel}",
            domain=url,
            headers={"content-type": "application/json"},
            body=json.dumps(body),
        ).perform()
        sent += 1
    spent = time.process_time() / max(1, sent)
    print(json.dumps({"conversions_per_second": sent / seconds, "cpu": spent}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
