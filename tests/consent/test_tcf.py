import pytest
from iab_strings import DAY, MADE, disclosed, tc_core

from twite.consent.tcf import (
    IdBits,
    MalformedSignal,
    Ranges,
    Restriction,
    TcString,
    decode_tcf,
    doubt,
)


def ranges_of_single_ids(*ids):
    return Ranges(tuple((id_, id_) for id_ in ids))


def bits_of(*ids):
    return IdBits(max(ids), sum(1 << (max(ids) - id_) for id_ in ids))


def test_every_field_of_a_tc_string_is_read():
    read = decode_tcf(tc_core(restrictions=[(7, 0, [(25, 30)]), (2, 1, [(755, 755)])]))

    assert read == TcString(
        created=MADE,
        updated=MADE,
        cmp=31,
        cmp_version=1,
        screen=1,
        language="EN",
        vendor_list=48,
        policy_version=5,
        service_specific=True,
        special_features=frozenset(),
        purposes=frozenset({1, 2, 3, 4, 7, 10}),
        legitimate_interests=frozenset(),
        purpose_one_treatment=False,
        publisher_country="DE",
        vendors=bits_of(1, 25, 755),
        vendor_interests=IdBits(0, 0),
        restrictions=(
            Restriction(purpose=7, kind=0, vendors=Ranges(((25, 30),))),
            Restriction(purpose=2, kind=1, vendors=ranges_of_single_ids(755)),
        ),
        disclosed=None,
    )


def test_vendors_as_ranges_and_as_bits_are_the_same():
    ranges, bits = decode_tcf(tc_core(as_ranges=True)).vendors, decode_tcf(tc_core()).vendors

    assert list(ranges) == list(bits) == [1, 25, 755]
    assert len(ranges) == len(bits) == 3
    assert [id_ in ranges for id_ in range(800)] == [id_ in bits for id_ in range(800)]
    assert not any(id_ in bits for id_ in (-1, 0, 756, 1 << 16))


def test_disclosed_vendors_are_read_from_their_segment():
    read = decode_tcf(f"{tc_core()}.{disclosed([2, 25])}")

    assert read.disclosed == bits_of(2, 25)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C",
        "not a string",
        tc_core(version=1),
        tc_core(version=3),
        tc_core()[:-4],
        f"{tc_core()}.",
        f"{tc_core()}.{'A' * 8}",
        f"{tc_core()}=",
        tc_core() + "A" * 20_000,
        tc_core(restrictions=[(7, 0, [(30, 25)])]),
    ],
)
def test_invalid_tc_string_is_malformed(text):
    assert isinstance(decode_tcf(text), MalformedSignal)


@pytest.mark.parametrize(("kind", "allowed"), [(0, False), (1, True), (2, False), (3, False)])
def test_publisher_restriction_removes_a_purpose_from_a_vendor(kind, allowed):
    read = decode_tcf(tc_core(restrictions=[(7, kind, [(25, 25)])]))

    assert (7 in read.allowed(25)) is allowed
    assert 7 in read.allowed(755)
    assert 7 in read.allowed(None)


@pytest.mark.parametrize(
    "fields",
    [
        {"service_specific": False},
        {"policy": 3},
        {"policy": 1, "created": 1_600_000_000_000},
        {"cmp": 0},
        {"cmp": 1},
        {"vendor_list": 0},
        {"created": MADE + 2 * DAY},
        {"updated": MADE - DAY},
        {"created": MADE - DAY, "updated": MADE},
        {"created": 1_500_000_000_000},
    ],
)
def test_tc_string_with_implausible_dates_is_not_consent(fields):
    assert doubt(decode_tcf(tc_core(**fields)), now=MADE) is not None


@pytest.mark.parametrize("fields", [{}, {"policy": 4}, {"policy": 2, "created": 1_600_000_000_000}])
def test_tc_string_with_plausible_dates_is_consent(fields):
    assert doubt(decode_tcf(tc_core(**fields)), now=MADE) is None


def test_cached_fields_are_not_mixed_between_tc_strings():
    first, second = (decode_tcf(tc_core(vendor_ids=ids)) for ids in ([25], [1, 30]))

    assert (first.vendors, second.vendors) == (bits_of(25), bits_of(1, 30))
    assert decode_tcf(tc_core(cmp=77)).cmp == 77
