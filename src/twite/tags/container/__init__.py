"""A server container: its file, its variables and triggers, and which tags fire for an event.

    export ─ imported ─▶ Container ─ written ─▶ container.toml
                             ▲                        │
                             └─────── reading ────────┘
    Container + EventContext ─ plan ─▶ FiringPlan

`parts` has the classes of the parts. `gtm.template.texts` handles `{{names}}` in texts, and
converts values to text as JavaScript does.
"""
