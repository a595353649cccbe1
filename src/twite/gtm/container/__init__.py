"""A server container: which tags fire for an event, and with what.

    export ─ imported ─▶ Container ─ written ─▶ container.toml
                             ▲                        │
                             └─────── reading ────────┘
    Container + Occasion ─ plan ─▶ Plan

`parts` are the values, `references` the `{{names}}` in them, `texts` how JavaScript makes text of a
value.
"""
