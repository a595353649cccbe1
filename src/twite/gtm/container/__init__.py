"""A server container: its file, its variables and triggers, and which tags fire for an event.

    export ─ imported ─▶ Container ─ written ─▶ container.toml
                             ▲                        │
                             └─────── reading ────────┘
    Container + EventContext ─ plan ─▶ FiringPlan

`parts` contains the parts' classes, `references` handles `{{names}}` in their texts, and `texts`
converts values to text like JavaScript.
"""
