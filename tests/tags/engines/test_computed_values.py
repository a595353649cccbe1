"""APIs that compute values have the results that Google's reference documents."""

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from template_stage import NOW, call, ran, returned, template

from twite.tags.engines.boot import boot_of
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import EffectAnswer, RunLimits


def value(expression: str, **changed: object) -> object:
    return returned(f"return {expression};", **changed)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("require('JSON').parse('{\"a\":[1]}')", {"a": [1]}),
        ("require('getType')(require('JSON').parse('{'))", "undefined"),
        ("require('JSON').stringify({a: undefined, b: 1})", '{"b":1}'),
        ("require('getType')(require('JSON').stringify(undefined))", "undefined"),
        ("require('makeInteger')('42.9')", 42),
        ("require('makeInteger')(-1.5)", -1),
        ("require('makeNumber')('1.5')", 1.5),
        ("require('makeString')(1.50)", "1.5"),
        ("require('makeString')(null)", "null"),
        ("require('encodeUri')('https://a.example/ä b?c=d')", "https://a.example/%C3%A4%20b?c=d"),
        ("require('encodeUriComponent')('a/b?ä')", "a%2Fb%3F%C3%A4"),
        ("require('encodeUriComponent')('a\\uD800')", "a%EF%BF%BD"),
        ("require('encodeUri')('\\uDC00/')", "%EF%BF%BD/"),
        ("require('decodeUri')('%C3%A4%2F')", "ä%2F"),
        ("require('decodeUriComponent')('%C3%A4%2F')", "ä/"),
        ("require('getType')(require('decodeUriComponent')('%zz'))", "undefined"),
        ("require('toBase64')('ä?>')", "w6Q/Pg=="),
        ("require('toBase64')('ä?>', {urlEncoding: true})", "w6Q_Pg"),
        ("require('fromBase64')('w6Q/Pg==')", "ä?>"),
        ("require('fromBase64')('w6Q_Pg')", "ä?>"),
        ("require('getType')(require('fromBase64')('a*b='))", "undefined"),
        ("require('getType')(require('fromBase64')(null))", "undefined"),
        ("require('getType')(require('fromBase64')(undefined))", "undefined"),
        ("require('generateRandom')('7', '7')", 7),
        ("require('generateRandom')(6.5, 7.5)", 7),
        ("require('generateRandom')(8, 8)", 8),
        ("require('testRegex')(require('createRegex')('(', 'g'), 'a')", False),
        ("require('testRegex')('a', 'a')", False),
        ("require('addMessageListener')('kind', 5)", None),
        ("require('Object').keys({a: 1, b: 2})", ["a", "b"]),
        ("require('Object').values({a: 1})", [1]),
        ("require('Object').entries({a: 1})", [["a", 1]]),
        ("require('Math').max(1, 3, 2)", 3),
        ("require('Math').sqrt(9)", 3),
        ("require('makeTableMap')([{k: 'a', v: 1}, {k: 'b', v: 2}], 'k', 'v')", {"a": 1, "b": 2}),
        ("require('makeTableMap')([], 'k', 'v')", None),
        ("require('makeTableMap')('x', 'k', 'v')", None),
        ("require('getTimestampMillis')()", 1_764_000_000_000),
        ("require('getTimestamp')()", 1_764_000_000_000),
    ],
)
def test_api_returns_the_value_of_googles_reference(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("undefined", "undefined"),
        ("null", "null"),
        ("1", "number"),
        ("''", "string"),
        ("true", "boolean"),
        ("[]", "array"),
        ("{}", "object"),
        ("() => 1", "function"),
        ("require('Promise').create(() => {})", "object"),
    ],
)
def test_gettype_names_the_type_of_a_value(expression, kind):
    assert value(f"require('getType')({expression})") == kind


def test_cyclic_object_has_no_json():
    code = "const a = {}; a.a = a; return require('getType')(require('JSON').stringify(a));"

    assert returned(code) == "undefined"


def test_frozen_object_keeps_its_keys():
    code = """
    const Object = require('Object');
    const held = Object.freeze({a: 1});
    const open = {a: 1, b: 2};
    return [Object.delete(held, 'a'), held.a, Object.delete(open, 'a'), open];
    """

    assert returned(code) == [False, 1, True, {"b": 2}]


def test_assignment_to_a_frozen_object_has_no_effect():
    code = """
    const Object = require('Object');
    const held = {a: 1, deep: {b: 2}};
    const same = Object.freeze(held) === held;
    held.a = 2;
    held.c = 3;
    held.toString = 4;
    held.deep.b = 5;
    const names = [];
    for (const name in held) names.push(name);
    return [
      same, held, names, Object.keys(held), held.hasOwnProperty('a'), held.hasOwnProperty('c'),
      require('getType')(held.toString), Object.freeze(held) === held
    ];
    """

    kept = {"a": 1, "deep": {"b": 5}}
    assert returned(code) == [
        *(True, kept, ["a", "deep"], ["a", "deep"], True, False, "function", True)
    ]


def test_frozen_array_refuses_changes_with_an_error():
    turn = ran("const a = require('Object').freeze([1]);\na.push(2);")

    assert (turn.error, turn.line) == ("TypeError: object is not extensible", 2)


@pytest.mark.parametrize("size", [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1000])
@pytest.mark.parametrize("letter", ["a", "ä", "😀"])
def test_sha256_hashes_the_utf_8_bytes(size, letter):
    text = letter * size

    found = value(
        "require('sha256Sync')(data.text, {outputEncoding: 'hex'})", fields={"text": text}
    )

    assert found == hashlib.sha256(text.encode()).hexdigest()


CODES = QuickJsEngine(
    template("""
    const fromBase64 = require('fromBase64');
    const toBase64 = require('toBase64');
    return [fromBase64(data.bytes), toBase64(data.text), fromBase64(toBase64(data.text)),
      require('decodeUriComponent')(require('encodeUriComponent')(data.text))];
    """)
)


@given(st.binary(max_size=24), st.text(st.characters(exclude_categories=["Cs"]), max_size=24))
def test_texts_and_bytes_are_converted_as_utf_8(given_bytes, text):
    encoded = b64encode(given_bytes).decode()

    turn = CODES.start(call(fields={"bytes": encoded, "text": text}))

    assert turn.returned == [
        given_bytes.decode("utf-8", "replace"),
        b64encode(text.encode()).decode(),
        text,
        text,
    ]


def test_sha256_is_base64_by_default_and_has_a_callback_form():
    code = """
    const seen = [];
    require('sha256')('a', (digest) => { seen.push(digest); data.gtmOnSuccess(); });
    return [require('sha256Sync')('a'), seen.length];
    """

    turn = ran(code)

    assert turn.returned == ["ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=", 0]
    assert turn.outcome == "success"


@pytest.mark.parametrize(
    ("options", "encode"),
    [
        ("", lambda digest: urlsafe_b64encode(digest).decode().rstrip("=")),
        (", {outputEncoding: 'hex'}", lambda digest: digest.hex()),
        (", {outputEncoding: 'base64'}", lambda digest: b64encode(digest).decode()),
    ],
)
def test_private_key_can_sign_and_is_never_shown(options, encode):
    code = f"return require('hmacSha256')('text', 'one'{options});"
    engine = QuickJsEngine(template(code), keys={"one": "secret-" * 20})

    turn = engine.start(call())

    digest = hmac.digest(b"secret-" * 20, b"text", "sha256")
    assert turn.returned == encode(digest)


def test_key_without_permission_is_not_in_the_process():
    named = Grant(permission="use_custom_private_keys", parameters={"keyIds": ["on*"]})
    keys = {"one": "first-secret", "two": "second-secret"}
    engine = QuickJsEngine(
        template("require('hmacSha256')('text', 'two');", grants=[named]),
        keys=keys,
    )

    turn = engine.start(call())

    assert (turn.error or "").startswith("Error: permission denied: use_custom_private_keys")
    boot, _ = boot_of(template("", grants=[named]), limits=RunLimits(), keys=keys)
    assert json.loads(boot)["keys"] == {"one": "first-secret"}


def test_missing_key_ends_the_run():
    assert ran("require('hmacSha256')('a', 'none');").error == "Error: there is no private key none"


def test_same_seed_gives_the_same_random_numbers_within_bounds():
    code = """
    const draw = require('generateRandom');
    const all = [];
    for (let i = 0; i < 200; i++) all.push(draw(3, 5));
    return all;
    """

    first, again, other = (returned(code, seed=seed) for seed in (7, 7, 2**40 + 1))

    assert first == again
    assert first != other
    assert set(first) == {3, 4, 5}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://www.shop.example.co.uk/a", "example.co.uk"),
        ("shop.example", "shop.example"),
        ("a.b.c.kobe.jp", "b.c.kobe.jp"),
        ("www.city.kobe.jp", "city.kobe.jp"),
        ("one.myshopify.com", "one.myshopify.com"),
        ("myshopify.com", ""),
        ("co.uk", ""),
        ("com", ""),
        ("www.例え.jp", "xn--r8jz45g.jp"),
        ("192.0.2.1", ""),
        ("not a domain", ""),
        ("", ""),
        (None, None),
    ],
)
def test_registrable_domain_uses_the_public_suffix_list(given, expected):
    found = value("require('computeEffectiveTldPlusOne')(data.text)", fields={"text": given})

    assert found == expected


def test_unknown_api_is_an_error():
    assert ran("require('fetch');").error == "Error: there is no API fetch"


def test_error_names_the_line_of_the_template():
    assert (ran("\n\nnull.x;").line, ran("const f = () => {\n  null.x;\n};\nf();").line) == (3, 2)


@pytest.mark.parametrize("size", [1, 500])
def test_limited_methods_have_the_results_of_the_native_ones(size):
    code = """
    const a = 'a'.repeat(data.size);
    const b = 'b'.repeat(data.size);
    const all = [a, b, a, b];
    return [
      all.indexOf(b), all.indexOf(b, 2), all.indexOf(b, -1), all.indexOf(b, -9), all.indexOf('x'),
      all.lastIndexOf(a), all.lastIndexOf(a, 1), all.lastIndexOf(b, -2), all.lastIndexOf(a, -9),
      all.includes(b), all.includes(a, 3), all.includes('c'.repeat(data.size)),
      [3, 10, undefined, 1].sort(), [3, 10, 1].sort((x, y) => x - y), [b, a].sort()[0] === a,
      [1, [2, [3]]].concat([4], 5), [1, 2, 3, 4].splice(1, 2), [1, 2, 3].slice(-2),
      [1, 2].reverse(), 'a-b-c'.split('-', 2), 'abcb'.replace('b', 'x'), 'abcb'.lastIndexOf('b'),
      'abc'.indexOf('c', 1), 'abc'.includes('b'), ' aB '.trim().toUpperCase(), 'ab'.repeat(2),
      'a'.padStart(3, 'x'), 'a'.padEnd(3), [1, null, undefined, 'x'].join('-'), '' + [1, [2, 3]]
    ];
    """

    found = returned(code, fields={"size": size})

    assert found == [
        *(1, 3, 3, 1, -1),
        *(2, 0, 1, -1),
        *(True, False, False),
        *([1, 10, 3, None], [1, 3, 10], True),
        *([1, [2, [3]], 4, 5], [2, 3], [2, 3]),
        *([2, 1], ["a", "b"], "axcb", 3),
        *(2, True, "AB", "abab"),
        *("xxa", "a  ", "1---x", "1,2,3"),
    ]


NAMES = [f"name{at}" for at in range(2_001)]
FAR = {"far": "x" * 16_000}  # a short text cannot contain this many


def test_json_with_over_2000_names_is_not_parsed():
    """A template can make the engine's table of names slow, and no limit interrupts it."""
    few = dict.fromkeys(NAMES[:1_999], 1) | FAR
    many = dict.fromkeys(NAMES[:2_000], 1) | FAR
    parse = "return !!require('JSON').parse(data.text);"
    assert returned(parse, fields={"text": json.dumps(few)}) is True
    assert returned(parse, fields={"text": json.dumps(many)}) is False
    escaped = json.dumps(many).replace("name", 'n\\"ame').replace('":', '"\n :')
    assert returned(parse, fields={"text": escaped}) is False


def test_json_with_the_same_names_in_many_objects_is_parsed():
    text = json.dumps([{"id": at, "name": "a:b"} for at in range(20_000)])

    assert returned("return require('JSON').parse(data.text).length;", fields={"text": text}) == (
        20_000
    )


@pytest.mark.parametrize("read", ["getAllEventData", "getEventData"])
def test_event_with_over_2000_names_ends_only_its_run(read):
    engine = QuickJsEngine(template(f"return !!require('{read}')('far');"))

    turn = engine.start(call(event=dict.fromkeys(NAMES, 1) | FAR))

    assert (turn.error, turn.spent) == (
        "RangeError: JSON with more than 2000 different names",
        False,
    )
    assert engine.start(call(event=FAR)).returned is True


def test_response_with_over_2000_names_ends_only_its_run():
    engine = QuickJsEngine(template("require('Firestore').read('a/b');"))
    run = engine.start(call()).run
    answer = EffectAnswer(id=1, value=dict.fromkeys(NAMES, 1) | FAR)

    turn = engine.resume(run, (answer,), now=NOW)

    assert (turn.error, turn.spent) == (
        "RangeError: JSON with more than 2000 different names",
        False,
    )


def test_field_with_over_2000_names_ends_only_its_run():
    engine = QuickJsEngine(template("return 1;"))

    turns = [
        engine.start(call(fields={"field": named})) for named in (dict.fromkeys(NAMES, 1) | FAR, {})
    ]

    assert [(turn.run, turn.returned, turn.spent) for turn in turns] == [
        (1, None, False),
        (2, 1, False),
    ]


def test_frozen_promise_and_function_still_work():
    code = """
    const freeze = require('Object').freeze;
    const promise = freeze(require('Promise').create((resolve) => resolve(1)));
    const act = freeze((value) => value + 1);
    promise.then((value) => require('logToConsole')(act(value)));
    """
    turn = ran(code)

    assert (turn.error, [effect.text for effect in turn.effects]) == (None, ["2"])
