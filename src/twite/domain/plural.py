"""Counts with their noun, for messages."""


def plural(number: int, noun: str, nouns: str = "") -> str:
    """Return the number with its noun: `1 row`, `2,000 rows`, `0 deliveries`.

    `nouns` is the plural; by default it is formed from `noun`, as in row, delivery and day.
    """
    if number == 1:
        return f"1 {noun}"
    if nouns:
        return f"{number:,} {nouns}"
    stem, end = (noun[:-1], "ies") if noun.endswith("y") and noun[-2] not in "aeou" else (noun, "s")
    return f"{number:,} {stem}{end}"
