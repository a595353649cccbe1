"""An encoder of IAB strings for tests, independent of the decoders."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
DAY = 86_400_000
# Midnight, 24 November 2026.
MADE = 1_795_478_400_000


def base64url(bits):
    bits += "0" * (-len(bits) % 6)
    return "".join(ALPHABET[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))


def number(value, width):
    return f"{value:0{width}b}"


def letters_as_bits(text):
    return "".join(number(ord(letter) - ord("A"), 6) for letter in text)


def flags(ids, width):
    return "".join("1" if place in ids else "0" for place in range(1, width + 1))


def ranges(pairs):
    written = number(len(pairs), 12)
    for first, last in pairs:
        written += "1" if first != last else "0"
        written += number(first, 16)
        written += number(last, 16) if first != last else ""
    return written


def vendors(ids, *, as_ranges=False):
    highest = max(ids, default=0)
    if as_ranges:
        return number(highest, 16) + "1" + ranges([(id_, id_) for id_ in sorted(ids)])
    return number(highest, 16) + "0" + flags(ids, highest)


def tc_core(
    *,
    version=2,
    created=MADE,
    updated=None,
    cmp=31,
    vendor_list=48,
    policy=5,
    service_specific=True,
    purposes=(1, 2, 3, 4, 7, 10),
    interests=(),
    purpose_one_treatment=False,
    vendor_ids=(1, 25, 755),
    as_ranges=False,
    restrictions=(),
):
    """`restrictions` are (purpose, kind, [(first, last), …])."""
    written = number(version, 6)
    written += number(created // 100, 36)
    written += number((created if updated is None else updated) // 100, 36)
    written += number(cmp, 12) + number(1, 12) + number(1, 6) + letters_as_bits("EN")
    written += number(vendor_list, 12) + number(policy, 6)
    written += "1" if service_specific else "0"
    written += "0" + flags((), 12) + flags(purposes, 24) + flags(interests, 24)
    written += "1" if purpose_one_treatment else "0"
    written += letters_as_bits("DE")
    written += vendors(vendor_ids, as_ranges=as_ranges) + vendors(())
    written += number(len(restrictions), 12)
    for purpose, kind, pairs in restrictions:
        written += number(purpose, 6) + number(kind, 2) + ranges(pairs)
    return base64url(written)


def disclosed(ids):
    return base64url(number(1, 3) + vendors(ids))


def fibonacci(value):
    series = [1, 2]
    while series[-1] <= value:
        series.append(series[-1] + series[-2])
    digits = []
    for term in reversed([sery for sery in series if sery <= value]):
        digits.append("1" if term <= value else "0")
        value -= term if term <= value else 0
    return "".join(reversed(digits)) + "1"


def gpp_header(ids):
    written = number(3, 6) + number(1, 6) + number(len(ids), 12)
    before = 0
    for id_ in sorted(ids):
        written += "0" + fibonacci(id_ - before)
        before = id_
    return base64url(written)


def gpp(sections):
    """Return a string of {section id: text}."""
    return "~".join([gpp_header(sections), *(sections[id_] for id_ in sorted(sections))])


def us_core(offsets, *, version=1, length=60):
    """`offsets` are {bit offset: value of two bits}."""
    written = list(number(version, 6) + "0" * (length - 6))
    for offset, value in offsets.items():
        written[offset : offset + 2] = number(value, 2)
    return base64url("".join(written))


def gpc_segment(*, on):
    return base64url(number(1, 2) + ("1" if on else "0"))
