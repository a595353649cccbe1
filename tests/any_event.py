"""Random tag events: known field names with arbitrary values."""

from hypothesis import strategies as st

NAMES = [
    "event_name", "transaction_id", "value", "currency", "items", "price", "quantity", "email",
    "phone", "user_data", "sha256_email_address", "email_address", "page_location", "twclid",
    "consent_state", "consent", "ad_storage", "ip_override", "user_agent", "conversion_time",
    "timestamp_micros", "ecommerce", "purchase", "actionField", "id", "gpp", "x-ga-gcd", "events",
    "name", "params", "user_properties", "description", "search_term", "0", "1",
]  # fmt: skip
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "purchase", "lead", "49.90", "EUR", "undefined", "NaN", "1e999", "-5", "\ud800", "\x00",
        "https://shop.example/?twclid=abc", "https://[", "a@b.example", "+442079460958", "G111",
        "13l3l3l3l1", "tv.1~em.x", "2026-11-24T10:00:00Z", "١٢", "9" * 400, "~~k0~v0", "granted",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=10,
)
EVENTS = st.fixed_dictionaries(
    {"event_name": st.sampled_from(["purchase", "lead"]) | VALUES},
    optional=dict.fromkeys(NAMES[1:], VALUES),
)
HITS = st.dictionaries(
    st.sampled_from(
        [
            "v", "tid", "en", "cid", "_p", "_s", "dl", "cu", "pr1", "pr2", "pr201", "gcs", "gcd",
            "npa", "em", "uafvl", "epn.value", "ep.email", "ep.transaction_id", "ep.", "up.x",
            "_dbg", "uip",
        ]
    )
    | st.text(max_size=4),
    TEXTS,
    max_size=12,
)  # fmt: skip
