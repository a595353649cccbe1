"""Settings with one pixel's events, spelled in the ways that TOML allows."""

import json
from typing import NamedTuple

from hypothesis import strategies as st

PIXEL = "o8z6j"
OTHER = "o6dkt"


class Layout(NamedTuple):
    text: str
    events: dict[str, str]


BARE = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0189_-", min_size=1, max_size=8)
ODD = st.sampled_from(
    ["sign up", "käufe", "a.b", "x=y", "#1", 'say "hi"', "it's", "a]", "{b}", ","]
)
NAMES = BARE | ODD
IDS = st.from_regex(r"o[a-z0-9]{4}", fullmatch=True)
# After a value, on the same line.
ENDS = st.sampled_from(["", "", " ", "  # theirs", " # [pixel.events]", "\t#", ' # "'])
GAPS = st.sampled_from(
    [
        "",
        "",
        "\n",
        "# a remark\n",
        "\n\n",
        '# [pixel.events]\n# purchase = "o0000"\n',
        "\n  # x\n",
        "\t\n",
    ]
)
INDENTS = st.sampled_from(["", "", "  ", "\t"])
EQUALS = st.sampled_from([" = ", "=", "  =\t"])
TEXTS_OF_LINES = ['"""\n[pixel.events]\nx = 1\n"""', "'''\n# no remark\n[[pixel]]\n# none'''"]


def key(draw, name):
    """Spell a key: bare if possible, or quoted."""
    spelled = [json.dumps(name, ensure_ascii=draw(st.booleans()))]
    if name.isascii() and name.replace("_", "").replace("-", "").isalnum():
        spelled += [name, name, name]
    if "'" not in name:
        spelled.append(f"'{name}'")
    return draw(st.sampled_from(spelled))


def value(draw, text):
    spelled = [f'"{text}"', f'"{text}"', f"'{text}'", f'"""{text}"""', f"'''{text}'''"]
    return draw(
        st.sampled_from([*spelled, f'"\\u{ord(text[0]):04x}{text[1:]}"', f'"""\n{text}"""'])
    )


def dotted(draw, *names):
    between = st.sampled_from([".", ".", " . ", "\t."])
    spelled = key(draw, names[0])
    for name in names[1:]:
        spelled += draw(between) + key(draw, name)
    return spelled


def line(draw, spelled, said):
    return f"{draw(INDENTS)}{spelled}{draw(EQUALS)}{said}{draw(ENDS)}\n{draw(GAPS)}"


def inline(draw, pairs):
    """Spell an inline table of (key, value), both spelled."""
    comma = draw(st.sampled_from([", ", ",", " , "]))
    left, right = draw(st.sampled_from([("{ ", " }"), ("{", "}"), ("{ ", "}"), ("{\t", "  }")]))
    return left + comma.join(f"{key}{draw(EQUALS)}{said}" for key, said in pairs) + right


def facts(draw, pixel):
    """Return the other settings of a pixel, as (names, spelled value)."""
    said = [(("id",), value(draw, pixel))]
    if draw(st.booleans()):
        said.append((("account",), value(draw, "18ce54d4x5t")))
    if draw(st.booleans()):
        tokens = ['"env:X"', "'a-token-in-plain-text'", *TEXTS_OF_LINES]
        said.append((("auth", "pixel_token"), draw(st.sampled_from(tokens))))
    if draw(st.booleans()):
        said.append((("value_guard",), draw(st.sampled_from(['"hold"', "'off'"]))))
    return said


def a_pixel(draw, pixel, events):
    """Spell a pixel as [[pixel]], its events inline, dotted, or in a table of their own."""
    said = facts(draw, pixel)
    body = [line(draw, dotted(draw, *names), text) for names, text in said if len(names) == 1]
    tables = []
    inner = [(names, text) for names, text in said if len(names) == 2]
    way = draw(st.sampled_from(["inline", "dotted", "table"]))
    pairs = [(key(draw, name), value(draw, event)) for name, event in events.items()]
    if way == "inline":
        body.append(line(draw, key(draw, "events"), inline(draw, pairs)))
    elif way == "dotted":
        body += [
            line(draw, dotted(draw, "events", name), value(draw, event))
            for name, event in events.items()
        ]
    else:
        rows = "".join(line(draw, key, text) for key, text in pairs)
        tables.append(header(draw, "pixel", "events") + rows)
    for names, text in inner:
        auth = draw(st.sampled_from(["inline", "dotted", "table"]))
        if auth == "inline":
            body.append(
                line(draw, key(draw, names[0]), inline(draw, [(key(draw, names[1]), text)]))
            )
        elif auth == "dotted":
            body.append(line(draw, dotted(draw, *names), text))
        else:
            tables.append(header(draw, "pixel", "auth") + line(draw, key(draw, names[1]), text))
    return "".join(
        [
            header(draw, "pixel", brackets=2),
            *draw(st.permutations(body)),
            *draw(st.permutations(tables)),
        ]
    )


def header(draw, *names, brackets=1):
    space = draw(st.sampled_from(["", "", " "]))
    opened, closed = "[" * brackets, "]" * brackets
    spelled = f"{opened}{space}{dotted(draw, *names)}{space}{closed}"
    return f"{draw(INDENTS)}{spelled}{draw(ENDS)}\n{draw(GAPS)}"


def an_inline_pixel(draw, pixel, events):
    said = facts(draw, pixel)
    pairs = [(dotted(draw, *names), text) for names, text in said]
    if draw(st.booleans()):
        inner = [(key(draw, name), value(draw, event)) for name, event in events.items()]
        pairs.append((key(draw, "events"), inline(draw, inner)))
    else:
        pairs += [
            (dotted(draw, "events", name), value(draw, event)) for name, event in events.items()
        ]
    return inline(draw, draw(st.permutations(pairs)))


def inline_pixels(draw, pixels):
    """Spell all pixels as one list of inline tables."""
    start, between, end = draw(
        st.sampled_from(
            [("[", ", ", "]"), ("[\n  ", ",\n  ", ",\n]"), ("[ # all\n", ", # one\n", "\n]")]
        )
    )
    spelled = between.join(an_inline_pixel(draw, *pixel) for pixel in pixels)
    return line(draw, key(draw, "pixel"), f"{start}{spelled}{end}")


def a_source(draw, at):
    said = [
        ("name", f'"source {at}"'),
        ("pixel", f'"{PIXEL}"'),
        ("key", draw(st.sampled_from(['"a-key-in-plain-text"', *TEXTS_OF_LINES]))),
        ("origins", draw(st.sampled_from(["[]", '[\n  "https://shop.example", # ours\n]']))),
    ]
    rows = [line(draw, key(draw, name), text) for name, text in said]
    more = header(draw, "source", "events") + line(draw, "order", '"purchase"')
    return header(draw, "source", brackets=2) + "".join(rows) + more * draw(st.booleans())


@st.composite
def layouts(draw):
    """Return settings, and the events of the pixel in them."""
    events = draw(st.dictionaries(NAMES, IDS, min_size=1, max_size=4))
    pixels = [(PIXEL, events)]
    if draw(st.booleans()):
        pixels.append((OTHER, draw(st.dictionaries(NAMES, IDS, min_size=1, max_size=2))))
    pixels = draw(st.permutations(pixels))
    root = draw(GAPS)
    parts = [a_source(draw, at) for at in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        parts.append(header(draw, "log") + line(draw, "level", '"error"'))
    if draw(st.integers(0, 3)):
        parts += [a_pixel(draw, *pixel) for pixel in pixels]
    else:
        root += inline_pixels(draw, pixels)
    text = root + "".join(draw(st.permutations(parts)))
    if draw(st.booleans()):
        text = text.rstrip("\n \t")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return Layout(text, events)
