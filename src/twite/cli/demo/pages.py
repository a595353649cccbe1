"""The pages of the demo's shop."""

from collections.abc import Mapping
from html import escape
from typing import Final

# In a file of the shop's own, since its Content-Security-Policy allows no script in the page. The
# first line keeps calls until the script is there.
SHOP_JS: Final = """\
window.twite = window.twite || function () { (twite.q = twite.q || []).push(arguments); };
const order = document.body.dataset;
if (order.id) {
  twite('purchase', {
    conversion_id: order.id, value: order.value, currency: order.currency, email: order.email,
    contents: [{id: 'MUG-1', name: 'Mug', price: order.value, quantity: 1}],
  });
}
"""
_STYLE: Final = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#222}
a,button{color:#0b57d0}button{font:inherit;padding:.4rem 1rem}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:.3rem .7rem;text-align:left}
nav{margin-bottom:2rem}nav a{margin-right:1rem}
"""
_NAV: Final = (
    '<nav><a href="/">Shop</a><a href="/mug">Mug</a><a href="/overlap">Deduplication '
    "report</a></nav>"
)


def landing(gateway: str, x: str) -> str:
    """Return the page that an advertisement leads to."""
    return _page(
        "A small shop",
        "<p>An advertisement on X would lead here with a click id, as in "
        '<a href="/?twclid=2-demo3k9x0abcd1efgh2ijkl3">this link</a>.</p>'
        '<p><a href="/mug">Look at the mug</a></p>',
        scripts=_scripts(gateway, x),
    )


def mug(gateway: str, x: str) -> str:
    """Return the page of the one product."""
    return _page(
        "Mug, EUR 24.95",
        '<form method="post" action="/order"><p><label>Email <input name="email" type="email" '
        'value="shopper@mail.internal" required></label></p><button>Buy it</button></form>',
        scripts=_scripts(gateway, x),
    )


def thanks(gateway: str, x: str, order: Mapping[str, str]) -> str:
    """Return the page after the order: it tells the script, as the back end told the gateway."""
    attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in order.items())
    return _page(
        "Thank you",
        f"<p>Your order is {escape(order['id'])}. The shop's back end has told the gateway of it, "
        "and this page tells it again, and X's pixel, with the same id. Load the page again: "
        'nothing more is counted.</p><p><a href="/overlap">Deduplication report</a></p>',
        scripts=_scripts(gateway, x),
        body=attributes,
    )


def overlap(report: Mapping[str, object]) -> str:
    """Return what `GET /v1/overlap` tells of today, renewed every two seconds."""
    advice = report["advice"]
    names = [name for name in report if name not in {"since", "by", "advice"}]
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(report[name]))}</td>"
        f"<td>{escape(advice.get(name, '') if isinstance(advice, dict) else '')}</td></tr>"
        for name in names
    )
    return _page(
        "Deduplication report",
        f"<table><tr><th>today</th><th>ids</th><th></th></tr>{rows}</table>",
        head='<meta http-equiv="refresh" content="2">',
    )


def unknown() -> str:
    """Return the page of an address that there is not."""
    return _page("There is no such page", "")


def _scripts(gateway: str, x: str) -> str:
    """The shop's own, then the first-party script, which loads X's from where X is emulated."""
    return (
        '<script src="/shop.js"></script>'
        f'<script async src="{escape(gateway)}/twite.js?s=shop" '
        f'data-pixel-url="{escape(x)}/uwt.js"></script>'
    )


def _page(title: str, text: str, *, scripts: str = "", head: str = "", body: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"{head}<style>{_STYLE}</style></head><body {body}>{_NAV}<h1>{escape(title)}</h1>{text}"
        f"{scripts}</body></html>"
    )
