import pytest

from twite.domain.plural import plural


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (plural(1, "row"), "1 row"),
        (plural(0, "row"), "0 rows"),
        (plural(2_000, "tag event"), "2,000 tag events"),
        (plural(2, "delivery"), "2 deliveries"),
        (plural(3, "day"), "3 days"),
        (plural(1, "secret is", "secrets are"), "1 secret is"),
        (plural(2, "secret is", "secrets are"), "2 secrets are"),
    ],
)
def test_number_and_its_noun_agree_in_a_message(text: str, expected: str) -> None:
    assert text == expected
