"""The beacon page names all fields that the gateway reads."""

import re
from pathlib import Path

from twite.formats.beacon.read import MAX_CONVERSIONS, REASONS
from twite.formats.beacon.shape import BeaconConversion, BeaconMessage, PixelCall

PAGE = (Path(__file__).parents[2] / "docs/reference/beacon.md").read_text()


def test_every_reason_to_ignore_a_beacon_is_documented_with_its_meaning():
    table = PAGE.split("| reason | given by | meaning |")[1].split("\n\n")[0]

    assert dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+?) \|$", table, re.MULTILINE)) == REASONS


def test_every_call_of_the_pixel_is_documented():
    table = PAGE.split("| `pixel` | meaning |")[1].split("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(PixelCall)


def test_every_field_of_a_beacon_is_named():
    raw = {"email", "phone"}  # accepted, but never requested
    fields = {*BeaconMessage.__struct_fields__, *BeaconConversion.__struct_fields__} - raw

    assert [
        name for name in sorted(fields) if f'"{name}"' not in PAGE and f"{name}`" not in PAGE
    ] == []


def test_size_limit_of_a_beacon_is_documented():
    assert f"| `conversions` | up to {MAX_CONVERSIONS}." in PAGE
