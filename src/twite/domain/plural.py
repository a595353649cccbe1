"""Counts with their noun, for messages."""


def plural(number: int, one: str, many: str = "") -> str:
    """Return the number with its noun: `1 row`, `2,000 rows`, `0 deliveries`.

    `many` is the plural; by default it is formed from `one`, as in row, delivery and day.
    """
    if number == 1:
        return f"1 {one}"
    if many:
        return f"{number:,} {many}"
    stem, end = (one[:-1], "ies") if one.endswith("y") and one[-2] not in "aeou" else (one, "s")
    return f"{number:,} {stem}{end}"
