"""A server container: its file, its variables and triggers, and which tags fire for an event.

    export ─ imported ─▶ Container ─ written ─▶ container.toml
                             ▲                        │
                             └─────── reading ────────┘
    Container + EventContext ─ plan ─▶ FiringPlan

`parts` are the values, `references` the `{{names}}` in them, `texts` the string conversions of
JavaScript.
"""
