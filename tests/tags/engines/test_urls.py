"""parseUrl follows the WHATWG standard. Expected values are Node 20's, except for `^` in a path,
which the current standard escapes."""

from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from template_stage import call, returned, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import HttpEffect


def parsed(address: str) -> dict[str, object] | None:
    code = "const url = require('parseUrl')(data.url); return url === undefined ? null : url;"
    return returned(code, fields={"url": address})


def test_url_is_parsed_into_parts():
    found = parsed("https://user:pa:ss@Shop.Example:8443/a/../b c?x=1&x=2&y=%C3%A4+z&=&w#frag ment")

    assert found == {
        "href": "https://user:pa%3Ass@shop.example:8443/b%20c?x=1&x=2&y=%C3%A4+z&=&w#frag%20ment",
        "origin": "https://shop.example:8443",
        "protocol": "https:",
        "username": "user",
        "password": "pa%3Ass",
        "host": "shop.example:8443",
        "hostname": "shop.example",
        "port": "8443",
        "pathname": "/b%20c",
        "search": "?x=1&x=2&y=%C3%A4+z&=&w",
        "searchParams": {"x": ["1", "2"], "y": "ä z", "": "", "w": ""},
        "hash": "#frag%20ment",
    }


@pytest.mark.parametrize(
    ("address", "href"),
    [
        ("https:shop.example", "https://shop.example/"),
        ("https:\\\\shop.example\\a", "https://shop.example/a"),
        ("  ht\ntps://shop.example\t/ ", "https://shop.example/"),
        ("https://shop.example:443/", "https://shop.example/"),
        ("https://shop.example/%2e%2E/a/./b/..", "https://shop.example/a/"),
        ("https://shop.example/?#", "https://shop.example/?#"),
        ("https://münchen.example/ä?ö#ü", "https://xn--mnchen-3ya.example/%C3%A4?%C3%B6#%C3%BC"),
        ("https://\uff21.example/", "https://a.example/"),
        ("https://a。example/", "https://a.example/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://4294967295/", "http://255.255.255.255/"),
        ("http://[1:2::0:7]:80/", "http://[1:2::7]/"),
        ("http://[::ffff:192.0.2.1]/", "http://[::ffff:c000:201]/"),
        ("https://a@b@shop.example/", "https://a%40b@shop.example/"),
        ("https://shop.example/a^b", "https://shop.example/a%5Eb"),
        ("https://shop.example/?q='\"", "https://shop.example/?q=%27%22"),
        ("mailto:a@shop.example?b", "mailto:a@shop.example?b"),
        ("foo:a  ?b", "foo:a %20?b"),
        ("foo:a  ", "foo:a"),
        ("file:c:/x/../..", "file:///c:/"),
        ("foo://Host/../a", "foo://Host/a"),
        ("https://shop.example/😀", "https://shop.example/%F0%9F%98%80"),
    ],
)
def test_url_is_normalized(address, href):
    found = parsed(address)

    assert found is not None
    assert found["href"] == href


@pytest.mark.parametrize(
    ("name", "ascii_name"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("ΒΌΛΟΣ.example", "xn--nxasmq6b.example"),
        ("ﬀ.example", "ff.example"),
        ("a\u00adb\u200b\ufe0fc.example", "abc.example"),
        ("日本語。\uff4a\uff50", "xn--wgv71a119e.jp"),
        ("xn--bcher-kva.ß.example", "xn--bcher-kva.xn--zca.example"),
        ("xn--a.example", "xn--a.example"),
        ("\u0915\u094d\u200d\u0937.example", "xn--11b2ezcw70k.example"),
        ("שלום.example", "xn--9dbne9b.example"),
        ("x..ß", "x..xn--zca"),
    ],
)
def test_host_name_in_other_scripts_is_written_in_punycode(name, ascii_name):
    found = parsed(f"https://{name}/")

    assert found is not None
    assert found["host"] == ascii_name


@pytest.mark.parametrize(
    "name",
    [
        "\u0301a.example",  # begins with a combining mark
        "a\u200db.example",  # a joiner that joins nothing
        "xn--a.ß.example",  # not valid Punycode
        "xn--zca\u0301.example",  # Punycode followed by another character
        "xn--ab-j1t.ß.example",  # Punycode of a name that is normally written differently
        "a\u05d0.example",  # two directions in a word
        "a⒈com",  # a dot that is part of another character
        "a‥b.example",
        "a\u06ddb.example",
        "a\U000e0001b.example",
        "a\ufffdb.ß",
    ],
)
def test_invalid_host_name_in_other_scripts_is_no_url(name):
    assert parsed(f"https://{name}/") is None


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://shop.example:443/a", "https://shop.example"),
        ("blob:https://shop.example:8443/a", "https://shop.example:8443"),
        ("blob:ftp://shop.example/a", "null"),
        ("file:///a", "null"),
        ("foo://shop.example/", "null"),
    ],
)
def test_only_a_web_url_has_an_origin(address, origin):
    found = parsed(address)

    assert found is not None
    assert found["origin"] == origin


@pytest.mark.parametrize(
    "address",
    [
        "",
        "abc",
        "//shop.example",
        "https://",
        "https://?x",
        "https://a b.example/",
        "https://shop.example:99999/",
        "https://shop.example:8a/",
        "https://@/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://[1::2::3]/",
        "https://a%00b.example/",
        "https://a<b.example/",
        7,
        None,
    ],
)
def test_invalid_url_is_undefined(address):
    assert parsed(address) is None


def test_query_parameter_named_constructor_is_read_like_others():
    found = parsed("https://shop.example/?constructor=1&__proto__=2&toString=3")

    assert found is not None
    assert found["searchParams"] == {"constructor": "1", "__proto__": "2", "toString": "3"}


ONCE_MORE = QuickJsEngine(
    template("""
    const parseUrl = require('parseUrl');
    const url = parseUrl(data.url);
    return url === undefined ? null : [url, parseUrl(url.href)];
    """)
)


SENDS = QuickJsEngine(
    template("""
    const url = require('parseUrl')(data.url);
    require('sendHttpGet')(data.url);
    return url === undefined ? null : url.href;
    """)
)
LABELS = st.text("abz09-A", max_size=6)
ADDRESSES = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["https", "http", "HTTP"]),
    st.lists(LABELS, min_size=1, max_size=3).map(".".join),
    st.text("aA0./:%2eE~!'()*^`|{}_-é", max_size=14),
    st.sampled_from(["", "?", "?a=b&c=%20", "?a'b", "?a#b", "#", "?é"]),
)


@given(ADDRESSES)
def test_request_is_sent_to_the_normalized_url(address):
    turn = SENDS.start(call(fields={"url": address}))

    sent = [effect.url for effect in turn.effects if isinstance(effect, HttpEffect)]
    assert sent == ([] if turn.returned is None else [turn.returned])


@given(
    st.one_of(
        st.text(max_size=40),
        st.text("abA.:/\\?#@[]%2e0x ñ=&'\"<>^`{}|+\t", max_size=30).map("https://".__add__),
    )
)
def test_normalized_url_is_not_changed_again(address):
    turn = ONCE_MORE.start(call(fields={"url": address}))

    assert turn.error is None
    if turn.returned is not None:
        first, second = turn.returned
        assert first == second


_ENGINE = QuickJsEngine(template("return require('parseUrl')(data.url) || null;"))
_PATHS = st.text("ab/.-_~!$&'()*+,;=:@[]|%2eE^ {}", max_size=12).map(lambda text: f"/{text}")
_QUERIES = st.text("ab=&+%20C3A4?/\"'<>#é\\", max_size=12).map(lambda text: f"?{text}")


@given(
    scheme=st.sampled_from(["https:", "http:", "HTTP:", "ftp:"]),
    host=st.sampled_from(
        ["shop.example", "a-b.c", "localhost", "1.2", "a.1", "a.0x1", "Shop.example", "a..b", "ä.b"]
    ),
    path=st.one_of(st.just(""), _PATHS),
    query=st.one_of(st.just(""), _QUERIES),
    fragment=st.one_of(st.just(""), st.text("ab#?`<é ", max_size=6).map(lambda text: f"#{text}")),
)
def test_fast_path_for_ordinary_urls_gives_the_general_result(scheme, host, path, query, fragment):
    address = f"{scheme}//{host}{path}{query}{fragment}"
    # The tab has no meaning, but no ordinary address contains one.
    ordinary, other = (
        _ENGINE.start(call(fields={"url": text})).returned
        for text in (address, f"{scheme}//\t{host}{path}{query}{fragment}")
    )

    assert ordinary == other


@given(st.text("%CcE3a4fF80+b2é😀", max_size=24))
def test_url_parameters_are_decoded_as_utf_8(text):
    found = _ENGINE.start(call(fields={"url": f"https://shop.example/?q={text}"})).returned

    assert found["searchParams"] == {"q": unquote_plus(text, errors="replace")}


def test_container_version_is_read_once():
    code = "const get = require('getContainerVersion'); get().version = 'x'; return get().version;"

    assert returned(code) == "1"
