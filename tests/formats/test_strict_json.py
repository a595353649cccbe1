import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.errors import MalformedRequest
from twite.formats.parsed_request import Many, Native
from twite.formats.strict_json import decode, may_hold_control_characters
from twite.formats.x_api.read import XRequest

ONE = msgspec.json.Decoder(Native)
MANY = msgspec.json.Decoder(Many)
X = msgspec.json.Decoder(XRequest)


def error_message(body, decoder=ONE):
    with pytest.raises(MalformedRequest) as caught:
        decode(decoder, body)
    error = caught.value
    return error.code, error.path, error.message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON: Input data was truncated"),
        (b" ", "not JSON: Input data was truncated"),
        (b'{"event":', "not JSON: Input data was truncated"),
        (b"event=purchase", "not JSON: invalid character (byte 0)"),
        (b"{'event':'a'}", "not JSON: object keys must be strings (byte 1)"),
        (b'{"event":"a",}', "not JSON: trailing comma in object (byte 13)"),
        (b'{"event":"a"}{}', "not JSON: trailing characters (byte 14)"),
        (b'{"event":"a"} x', "not JSON: trailing characters (byte 15)"),
        (
            b'{"event":"\\ud83d\\ude00",}',
            "not JSON: trailing comma in object (byte 24)",
        ),
        (b'{"value":NaN}', "not JSON: JSON has no NaN and no Infinity"),
        (b'{"value":Infinity}', "not JSON: JSON has no NaN and no Infinity"),
        (b'{"value":-Infinity}', "not JSON: JSON has no NaN and no Infinity"),
        (b'{"event":"a\nb"}', "not JSON: invalid character (byte 11)"),
        (b'{"event":"a\x00b"}', "not JSON: invalid character (byte 11)"),
        (
            b'{"event":"\\ud800"}',
            "not JSON: an escape such as \\ud800 is half of a surrogate pair (byte 10)",
        ),
        (
            b'{"event":"\\\\ud800 \\ud83d\\ude00 \\udfff x"}',
            "not JSON: an escape such as \\ud800 is half of a surrogate pair (byte 31)",
        ),
        (
            b'\xef\xbb\xbf{"event":"a"}',
            "not JSON: it begins with a byte-order mark; send plain UTF-8",
        ),
        (
            '{"event":"a"}'.encode("utf-16"),
            "not JSON: it begins with a byte-order mark; send plain UTF-8",
        ),
    ],
)
def test_invalid_json_is_explained(body, sentence):
    assert error_message(body) == ("not_json", "", sentence)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b'{"event":"\xff"}',
        b'{"event":"\xc0\xaf"}',
        b'{"event":"\xed\xa0\x80"}',
        b'{"event":"\xf5\x80\x80\x80"}',
        b'{"\xff":1}',
        '{"event":"a"}'.encode("utf-16-le"),
        '{"event":"ü"}'.encode("latin-1"),
        b'{"value":01}',
        b'{"value":.5}',
        b'{"value":+5}',
        b'{"value":0x10}',
        b'{"event":"\\x41"}',
        b"// comment\n{}",
    ],
)
def test_invalid_utf_8_or_json_is_refused(body):
    code, path, sentence = error_message(body)

    assert (code, path) == ("not_json", "")
    assert sentence.startswith("not JSON: ")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000,
        b'{"value":' + b"[" * 10_000,
        b'{"value":' + b'{"a":' * 10_000,
        b'{"value":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"odd":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_ten_thousand_levels_of_nesting_are_refused(body):
    assert error_message(body)[0] in {"too_deep", "wrong_shape", "unknown_field"}


def test_nesting_in_skipped_fields_is_limited_too():
    body = b'{"conversions":[],"odd":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    assert error_message(body, X)[0] == "too_deep"


@pytest.mark.parametrize(
    ("body", "code", "path", "sentence"),
    [
        (b"null", "wrong_shape", "", "must be an object, not null"),
        (b"5", "wrong_shape", "", "must be an object, not a whole number"),
        (b'"a"', "wrong_shape", "", "must be an object, not text"),
        (b"[[]]", "wrong_shape", "", "must be an object, not a list"),
        (b'{"event":5}', "wrong_shape", "event", "must be text or null, not a whole number"),
        (
            b'{"contents":[{},{"quantity":"2"}]}',
            "wrong_shape",
            "contents[1].quantity",
            "must be a whole number or null, not text",
        ),
        (
            b'{"emial":"a"}',
            "unknown_field",
            "emial",
            '"emial" is not a known field; did you mean "email"?',
        ),
        (
            b'{"contents":[{"idd":1}]}',
            "unknown_field",
            "contents[0].idd",
            '"idd" is not a known field; did you mean "id"?',
        ),
        (b'{"zzzzz":1}', "unknown_field", "zzzzz", '"zzzzz" is not a known field'),
        (
            b'{"a\\u001b[31m":1}',
            "unknown_field",
            "a?[31m",
            '"a?[31m" is not a known field',
        ),
    ],
)
def test_value_of_a_wrong_type_is_named_with_its_path(body, code, path, sentence):
    assert error_message(body) == (code, path, sentence)


def test_path_in_a_batch_contains_the_index():
    body = b'{"conversions":[{"event":"a"},{"event":"b","contents":[{},{"prise":1}]}]}'

    assert error_message(body, MANY) == (
        "unknown_field",
        "conversions[1].contents[1].prise",
        '"prise" is not a known field; did you mean "price"?',
    )


def test_integer_of_5000_digits_is_refused_for_an_integer_field():
    body = b'{"conversion_id":' + b"1" * 5_000 + b"}"

    assert error_message(body)[:2] == ("wrong_shape", "conversion_id")


def test_integer_of_5000_digits_is_accepted_for_a_text_field():
    body = b'{"conversions":[{"value":' + b"1" * 5_000 + b',"event":null},{"event":"b"}]}'

    assert len(decode(MANY, body).conversions) == 2


def test_key_of_a_megabyte_is_refused_quickly():
    began = time.process_time()

    code, path, _ = error_message(b'{"' + b"k" * 2**20 + b'":1}')

    assert (code, len(path)) == ("unknown_field", 65)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"event":"a","event":"b"}', "event"),
        (b'{"event":"a","event":"a"}', "event"),
        (b'{"email":"a","\\u0065mail":"b"}', "email"),
        (b'{"\\u0065mail":"a","\\u0065mail":"b"}', "email"),
        (b'{"\\u0065mail":"a","em\\u0061il":"b"}', "email"),
        (b'{"event":null,"event":"b"}', "event"),
        (b'{"event":"b","event":null}', "event"),
        (b'{"event" : "a", "event"\n:"b"}', "event"),
        (b'{"contents":[{"id":1,"id":2}]}', "id"),
        (b'{"contents":[{"id":1},{"name":"a","name":"a"}]}', "name"),
        (b'{"contents":[],"contents":[{"id":1}]}', "contents"),
        (b'{"consent":{"ad_storage":"denied","ad_storage":"granted"}}', "ad_storage"),
        (b'{"consent":{"a":"v",":x":"1","b":"w" ,":x":"2"}}', ":x"),
        (b'{"consent":{"a\\"b":"1","a\\u0022b":"2"}}', 'a"b'),
        (b'{"consent":{"a\\\\":"1","a\\u005c":"2"}}', "a\\"),
        (b'{"consent":{"":"1","":"2"}}', ""),
        (b'{"value":1,"value":2}', "value"),
        (b'{"quantity":1}', None),
    ],
)
def test_duplicate_key_is_refused(body, name):
    code, path, sentence = error_message(body)

    if name is None:
        assert code == "unknown_field"
        return
    assert (code, path) == ("duplicate_key", name)
    assert sentence == f'"{name}" occurs twice in one object: remove one of them'


def test_duplicate_key_in_skipped_fields_is_refused():
    body = b'{"conversions":[{"odd":{"a":1,"a":2}}]}'

    assert error_message(body, X)[:2] == ("duplicate_key", "a")


def test_duplicate_among_100000_keys_is_refused_quickly():
    keys = b",".join(b'"%d":1' % n for n in range(100_000))
    began = time.process_time()

    assert error_message(b'{"conversions":[],"odd":{' + keys + b',"99999":2}}', X)[1] == "99999"
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"conversions":[{"event":"a"},{"event":"a"}]}',
        b'{"conversions":[{"event":"a","contents":[{"id":"1"},{"id":"1"}]}]}',
        b'{"conversions":[{"event":"event","description":"\\"event\\":\\"event\\":"}]}',
        b'{"conversions":[{"event":"a","description":"C:\\\\","search":"\\u005c\\""}]}',
        b'{"conversions":[{"description":"{\\"a\\":1,\\"a\\":2}"}]}',
        b'{"conversions":[{"event":null,"email":null,"value":null}]}',
        b'{"conversions":[{"event":"id","contents":[{"id":"event"}],"consent":{"event":"id"}}]}',
        '{"conversions":[{"description":"ü\u2028\U0001f600"}]}'.encode(),
    ],
)
def test_same_key_in_different_objects_is_not_a_duplicate(body):
    assert decode(MANY, body) == MANY.decode(body)


def has_twice(body):
    found = []

    def see(pairs):
        names = [name for name, _ in pairs]
        found.append(len(names) != len(set(names)))
        return dict(pairs)

    json.loads(body, object_pairs_hook=see)
    return any(found)


NAMES = st.sampled_from(["a", ":", '"', "\\", ",", "{", "é", "\n", "ad_storage", ""]) | st.text(
    max_size=3
)
TEXTS = st.sampled_from(['":', '","', "\\", '\\"', "{}", "\u007f"]) | st.text(max_size=4)


@given(
    st.lists(st.lists(st.tuples(NAMES, TEXTS), max_size=4), max_size=3),
    st.booleans(),
    st.sampled_from([":", " : ", ":\n"]),
)
def test_every_pair_of_equal_keys_is_found(objects, escaped, colon):
    def quoted(text):
        return json.dumps(text, ensure_ascii=escaped)

    inner = (
        "{" + ",".join(f"{quoted(name)}{colon}{quoted(text)}" for name, text in pairs) + "}"
        for pairs in objects
    )
    consents = ",".join(f'{{"consent":{consent}}}' for consent in inner)
    body = f'{{"conversions":[{consents}]}}'.encode()

    if has_twice(body):
        assert error_message(body, MANY)[0] == "duplicate_key"
    else:
        decode(MANY, body)


def struct_types(shape):
    waiting, found = [msgspec.inspect.type_info(shape)], []
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, msgspec.inspect.StructType):
            found.append(kind.cls)
            waiting.extend(field.type for field in kind.fields)
        waiting.extend(getattr(kind, "types", ()))
        if isinstance(kind, msgspec.inspect.ListType):
            waiting.append(kind.item_type)
    return found


@pytest.mark.parametrize("shape", [Many, XRequest])
def test_structs_omit_defaults_so_that_duplicate_keys_can_be_counted(shape):
    structs = struct_types(shape)

    assert len(structs) >= 3
    # Required fields have no default to omit.
    needed = [
        struct for struct in structs if any(f.required for f in msgspec.structs.fields(struct))
    ]
    assert all(struct.__struct_config__.omit_defaults for struct in structs if struct not in needed)


@pytest.mark.parametrize("text", ["\x00", "\n", "\x1f", "\x7f", "\x80", "\x9f", "\x85"])
@pytest.mark.parametrize("escaped", [True, False])
def test_control_character_is_found_in_every_spelling(text, escaped):
    body = json.dumps(text, ensure_ascii=escaped).encode()

    assert may_hold_control_characters(body)


def test_plain_text_has_no_control_characters():
    assert not may_hold_control_characters('{"a":"plain, or 日本語"}'.encode())
