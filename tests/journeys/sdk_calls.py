"""Calls of an SDK of Segment or RudderStack for Python, with nothing changed but its host.

Arguments: `segment` or `rudderstack`, the URL, the write key, the number of the order. Prints the
SDK's version, and its errors.
"""

import json
import sys
from importlib import import_module

library, url, key, number = sys.argv[1:]
analytics = import_module(f"{library}.analytics")
version = import_module(f"{library}.analytics.version").VERSION
errors = []
analytics.write_key = key
analytics.on_error = lambda error, _batch: errors.append(str(error))
if library == "rudderstack":
    analytics.dataPlaneUrl = url
else:
    analytics.host = url
    analytics.gzip = True

user = f"user-{number}"
analytics.identify(user, {"email": f"{user}@shop.example", "phone": "+44 20 7946 0958"})
analytics.track(
    user,
    "Order Completed",
    {
        "order_id": f"order-{number}",
        "total": 49.9,
        "currency": "EUR",
        "products": [{"product_id": "P-1", "name": "Mug", "price": 24.95, "quantity": 2}],
    },
    context={"ip": "203.0.113.9", "userAgent": "Mozilla/5.0 (X11; Linux x86_64)"},
)
analytics.page(user, None, "Thanks")
analytics.track(user, "Order Refunded", {"order_id": f"order-{number}"})
analytics.shutdown()
print(json.dumps({"version": version, "errors": errors}))
