import pytest
from iab_strings import base64url, disclosed, gpc_segment, gpp, number, tc_core, us_core

from twite.consent.gpp import (
    LAYOUTS,
    GppString,
    UsSection,
    decode_gpp,
    decode_sid,
    decode_us_section,
)
from twite.consent.tcf import CanadaString, MalformedSignal, decode_tcf

SALE = {7: 18, 8: 12, 11: 14, 18: 14, 24: 16, 25: 16, 26: 16, 27: 16}
ADVERTISING = {7: 22, 11: 16, 18: 16, 24: 18, 25: 18, 26: 18, 27: 18}
WITHOUT_GPC = {9, 11, 13, 25, 26, 27}


@pytest.mark.parametrize(
    ("header", "ids"), [("DBABM", [2]), ("DBACNY", [2, 6]), ("DBABjw", [5, 6])]
)
def test_gpp_headers_of_the_specification_are_read(header, ids):
    sections = {2: tc_core(), 5: base64url(number(1, 6) + "0" * 300), 6: "1YNN"}
    text = "~".join([header, *(sections[id_] for id_ in ids)])

    assert list(decode_gpp(text).sections) == ids


@pytest.mark.parametrize("section", LAYOUTS)
@pytest.mark.parametrize("value", [0, 1, 2])
def test_opt_out_of_sale_is_read_in_each_section(section, value):
    text = us_core({SALE.get(section, 12): value})

    read = decode_us_section(section, text)

    assert (read.sale, read.opt_out) == (value, "sale" if value == 1 else None)


@pytest.mark.parametrize("section", [section for section in LAYOUTS if section != 8])
def test_opt_out_of_targeted_advertising_is_read_in_each_section(section):
    text = us_core({ADVERTISING.get(section, 14): 1})

    assert decode_us_section(section, text).opt_out == "advertising"


@pytest.mark.parametrize(("section", "offset"), [(7, 20), (8, 14)])
def test_opt_out_of_sharing_is_read_if_the_section_has_one(section, offset):
    assert decode_us_section(section, us_core({offset: 1})).opt_out == "sharing"


@pytest.mark.parametrize("section", LAYOUTS)
def test_gpc_segment_is_an_opt_out_in_the_sections_that_define_it(section):
    text = f"{us_core({})}.{gpc_segment(on=True)}"

    expected = None if section in WITHOUT_GPC else "gpc"

    assert decode_us_section(section, text).opt_out == expected


@pytest.mark.parametrize("section", [24, 25, 26, 27])
def test_header_segment_may_precede_the_core_segment(section):
    header = base64url(number(section, 6) + number(1, 6) + "0" * 12)

    read = decode_us_section(section, f"{header}.{us_core({16: 1})}")

    assert read.opt_out == "sale"


@pytest.mark.parametrize(
    "text", [us_core({12: 3}), us_core({}, version=2), us_core({}, version=0), "B", "", "B.B", "?"]
)
def test_invalid_gpp_section_is_malformed(text):
    assert isinstance(decode_us_section(10, text), MalformedSignal)


def test_gpp_string_is_read_section_by_section():
    tc = f"{tc_core()}.{disclosed([25])}"

    read = decode_gpp(gpp({2: tc, 6: "1YYN", 8: us_core({12: 2, 14: 1})}))

    assert read == GppString(
        sections={
            2: decode_tcf(tc),
            6: True,
            8: UsSection(name="usca", sale=2, sharing=1, advertising=None, gpc=None),
        }
    )


def test_canadian_gpp_section_is_read():
    text = base64url(
        number(1, 6) + number(17, 36) + number(18, 36) + "0" * 73
        + "1" + "0" * 23 + "0" * 6 + "1" + "0" * 17
    )  # fmt: skip

    assert decode_gpp(gpp({5: text})) == GppString(
        sections={
            5: CanadaString(
                created=1_700, updated=1_800, express=frozenset({1}), implied=frozenset({7})
            )
        }
    )


def test_unknown_gpp_section_is_skipped():
    assert decode_gpp(gpp({6: "1YNN", 99: "whatever"})) == GppString(sections={6: False})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D",
        "DBAB",
        "CBABM~x",
        "DBABM",
        "DBABM~",
        "DBABM~a~b",
        "DBABMA" + "A" * 20_000,
        "DB______~x",
    ],
)
def test_invalid_gpp_string_is_malformed(text):
    assert isinstance(decode_gpp(text), MalformedSignal)


@pytest.mark.parametrize(
    ("text", "ids"),
    [("7", {7}), ("2_6", {2, 6}), ("2,6", {2, 6}), ("[7, 8]", {7, 8}), ("-1", set()), ("0", set())],
)
def test_applicable_gpp_sections_are_read_from_numbers_and_text(text, ids):
    assert decode_sid(text) == ids


def test_invalid_gpp_section_ids_are_malformed():
    assert isinstance(decode_sid("usnat"), MalformedSignal)
