"""Compare Twite's decoders with the IAB's packages on random strings.

`make oracle` installs them.
"""

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from iab_strings import (
    ALPHABET,
    DAY,
    MADE,
    base64url,
    disclosed,
    gpc_segment,
    gpp_header,
    number,
    tc_core,
)

from twite.consent.gpp import LAYOUTS, UsSection, decode_gpp
from twite.consent.tcf import CanadaString, MalformedSignal, decode_tcf, doubt

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / ".node"
MANY = int(os.environ.get("TWITE_ORACLE", "300"))
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None or not (PACKAGES / "node_modules").is_dir(),
    reason="the IAB's packages are not there: run `make oracle` (it needs node and npm)",
)
SETS = ("special_features", "purposes", "legitimate_interests", "vendors", "vendor_interests")
# The name of each section id in the IAB's packages.
NAMES = {2: "tcfeuv2", 5: "tcfcav1", 6: "uspv1"} | {
    id_: section.name for id_, section in LAYOUTS.items()
}


def read_by_the_iab(kind, texts):
    lines = "\n".join(json.dumps({"kind": kind, "text": text}) for text in texts)
    done = subprocess.run(
        [NODE, HERE / "iab.mjs", PACKAGES], input=lines, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def a_tc_string(randomness, *, vendors=(0, 3, 900)):
    some = lambda highest: randomness.sample(range(1, highest + 1), randomness.randint(0, highest))  # noqa: E731  one line, used eight times
    made = MADE - randomness.randint(0, 2_000) * DAY
    pairs = [(first, first + randomness.randint(0, 4)) for first in range(10, 60, 10)]
    restrictions = {
        (randomness.randint(1, 11), randomness.randint(0, 2)): randomness.sample(
            pairs, randomness.randint(1, 3)
        )
        for _ in range(randomness.randint(0, 4))
    }
    core = tc_core(
        created=made, updated=made, cmp=randomness.randint(2, 4_000),
        vendor_list=randomness.randint(1, 4_000), policy=randomness.randint(2, 5),
        service_specific=randomness.random() < 0.8, purposes=some(24), interests=some(24),
        purpose_one_treatment=randomness.random() < 0.2,
        vendor_ids=some(randomness.choice(vendors)),
        as_ranges=randomness.random() < 0.5,
        restrictions=[(*key, sorted(value)) for key, value in restrictions.items()],
    )  # fmt: skip
    return f"{core}.{disclosed(some(max(vendors)))}" if randomness.random() < 0.5 else core


def corrupted(randomness, text):
    """Return a text with one letter changed, or cut off."""
    at = randomness.randrange(len(text))
    return randomness.choice(
        [text[:at] or "C", text[:at] + randomness.choice(ALPHABET) + text[at + 1 :]]
    )


def fields_of(read):
    """Return Twite's result in the format of the IAB's packages."""
    fields = {name: getattr(read, name) for name in read.__struct_fields__}
    for name in SETS:
        fields[name] = sorted(set(fields[name]))
    fields["disclosed"] = sorted(set(read.disclosed or ()))
    vendors = {}
    for restriction in read.restrictions:
        vendors.setdefault((restriction.purpose, restriction.kind), set()).update(
            restriction.vendors
        )
    fields["restrictions"] = sorted([*key, sorted(ids)] for key, ids in vendors.items())
    return fields


def test_tc_strings_are_read_like_the_iab_packages_read_them():
    randomness = random.Random(1)
    texts = [a_tc_string(randomness) for _ in range(MANY)]

    differing = []
    for text, theirs in zip(texts, read_by_the_iab("tcf", texts), strict=True):
        ours = decode_tcf(text)
        theirs["restrictions"] = sorted(theirs.get("restrictions", []))
        if isinstance(ours, MalformedSignal) or fields_of(ours) != theirs:
            differing.append((text, ours, theirs))

    print(f"TC strings: {len(texts)} read, {len(differing)} differences")
    assert differing == []


def test_corrupted_tc_string_is_never_consent():
    randomness = random.Random(2)
    # Few vendors: the IAB's reader expands ranges, and a corrupt range may contain thousands.
    texts = [
        corrupted(randomness, a_tc_string(randomness, vendors=(0, 3, 40)))
        for _ in range(MANY // 10)
    ]

    tally = Counter()
    differing = []
    for text, theirs in zip(texts, read_by_the_iab("tcf", texts), strict=True):
        ours = decode_tcf(text)
        if isinstance(ours, MalformedSignal):
            tally["ours refuses" if "error" not in theirs else "both refuse"] += 1
        elif "error" in theirs:
            tally["theirs refuses"] += 1
            # The IAB's packages refuse numbers that Twite reads but ignores.
            if doubt(ours, now=MADE) is None:
                differing.append((text, ours, theirs))
        else:
            tally["both read"] += 1
            if sorted(theirs["purposes"]) != sorted(ours.purposes):
                differing.append((text, ours, theirs))

    print(f"mangled TC strings: {dict(tally)}, {len(differing)} differences")
    assert differing == []


def a_us_core(randomness, section):
    version = randomness.choice([1, 2]) if section == 7 else 1
    length = {7: 66 if version == 2 else 60}.get(section, 60)
    bits = number(version, 6) + "".join(
        number(randomness.choice([0, 1, 2]), 2) for _ in range((length - 6) // 2)
    )
    return base64url(bits)


def a_gpp_string(randomness):
    sections = {}
    for section in randomness.sample(sorted(NAMES), randomness.randint(1, 4)):
        if section == 2:
            sections[section] = a_tc_string(randomness)
        elif section == 5:
            flags = "".join(randomness.choice("01") for _ in range(48))
            head = number(1, 6) + number(MADE // 100, 36) * 2 + number(31, 12) * 2 + number(1, 6)
            head += number(4, 6) + number(13, 6) + number(9, 12) + number(2, 6) + "0" + "0" * 12
            # Two empty vendor ranges, and no restrictions.
            sections[section] = base64url(head + flags + ("0" * 16 + "0") * 2 + "0" * 12)
        elif section == 6:
            sections[section] = "1" + "".join(randomness.choice("YN-") for _ in range(3))
        else:
            core = a_us_core(randomness, section)
            with_gpc = LAYOUTS[section].gpc and randomness.random() < 0.5
            gpc = gpc_segment(on=randomness.random() < 0.5)
            sections[section] = f"{core}.{gpc}" if with_gpc else core
    ids = sorted(sections)
    return "~".join([gpp_header(ids), *(sections[id_] for id_ in ids)])


def us_fields(read, theirs):
    """Return pairs of the relevant values: (Twite's, the IAB's)."""
    pairs = [(read.sale, theirs.get("SaleOptOut"))]
    if read.sharing is not None:
        pairs.append((read.sharing, theirs.get("SharingOptOut")))
    if read.advertising is not None:
        pairs.append((read.advertising, theirs.get("TargetedAdvertisingOptOut")))
    if read.gpc is not None:
        pairs.append((read.gpc, theirs.get("Gpc")))
    return pairs


def same(section, theirs):
    """Return whether a section was read as the IAB's packages read it."""
    if isinstance(section, UsSection):
        return all(ours == other for ours, other in us_fields(section, theirs))
    if isinstance(section, CanadaString):
        express, implied = (
            {place for place, on in enumerate(theirs[name], 1) if on}
            for name in ("PurposesExpressConsent", "PurposesImpliedConsent")
        )
        return (section.express, section.implied) == (express, implied)
    if isinstance(section, MalformedSignal):
        return False
    if isinstance(section, bool) or section is None:
        return {"Y": True, "N": False, "-": None}[theirs["OptOutSale"]] is section
    purposes = {place for place, on in enumerate(theirs["PurposeConsents"], 1) if on}
    return section.purposes == purposes and sorted(set(section.vendors)) == theirs["VendorConsents"]


def test_gpp_strings_are_read_like_the_iab_packages_read_them():
    randomness = random.Random(3)
    texts = [a_gpp_string(randomness) for _ in range(MANY)]

    tally = Counter()
    differing = []
    for text, theirs in zip(texts, read_by_the_iab("gpp", texts), strict=True):
        ours = decode_gpp(text)
        if "error" in theirs:
            tally["theirs refuses"] += 1
            continue
        if isinstance(ours, MalformedSignal):
            differing.append((text, ours, theirs))
            continue
        for id_, section in ours.sections.items():
            tally[NAMES[id_]] += 1
            if not same(section, theirs[NAMES[id_]]):
                differing.append((text, id_, section, theirs[NAMES[id_]]))

    print(f"GPP strings: {len(texts)}, {len(differing)} differences; {dict(sorted(tally.items()))}")
    assert differing == []
