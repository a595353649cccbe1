"""Draws the tag's fields as pictures for its README: `python sgtm/draw.py`.

It lays TEMPLATE_PARAMETERS out as a page, much as Google's editor does, and has Chromium take its
picture. Run it again when fields change: a picture holds the digest of what it shows, and a test
fails when that is something else.
"""

import hashlib
import html
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from twite.tags.template.fields import Field
from twite.tags.template.template import read_template

HERE = Path(__file__).parent
WIDTH = 720
STYLE = """
body { font: 14px/1.45 Roboto, "DejaVu Sans", sans-serif; color: #202124; }
body { margin: 0; padding: 20px; }
section { border: 1px solid #dadce0; border-radius: 8px; padding: 14px 18px; margin: 0 0 14px; }
h2 { font-size: 15px; font-weight: 500; margin: 0 0 8px; }
label { display: block; margin: 10px 0 2px; color: #5f6368; font-size: 12px; }
.text { border: 1px solid #bdc1c6; border-radius: 4px; padding: 7px 10px; min-height: 20px; }
.hint { color: #9aa0a6; }
.help { color: #5f6368; font-size: 12px; margin: 3px 0 0; }
.below { margin: 4px 0 4px 24px; }
.row { margin: 7px 0; }
table { border-collapse: collapse; margin-top: 6px; }
th, td { border: 1px solid #dadce0; padding: 5px 12px; font-weight: 400; text-align: left; }
th { background: #f1f3f4; font-size: 12px; min-width: 170px; }
"""


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is not installed: apt-get install chromium", file=sys.stderr)
        return 1
    for name, body in bodies().items():
        height = int(measured(chromium, body))
        picture = HERE / "images" / name
        taken(chromium, body, height, picture)
        picture.write_bytes(marked(picture.read_bytes(), digest(body)))
    return 0


def bodies() -> dict[str, str]:
    """Return what each picture shows, by its name."""
    tag = read_template((HERE / "twite-tag.tpl").read_bytes())
    halves = {"fields-1.png": tag.fields[:2], "fields-2.png": tag.fields[2:]}
    return {
        name: "".join(piece for field in fields for piece in drawn(field))
        for name, fields in halves.items()
    }


def digest(body: str) -> bytes:
    """Return what a picture holds of the page that it shows."""
    return b"drawn of\0" + hashlib.sha256(paged(body).encode()).hexdigest().encode()


def marked(picture: bytes, text: bytes) -> bytes:
    """Put a text before the end of a PNG, which is its last twelve bytes."""
    chunk = b"tEXt" + text
    sealed = struct.pack(">I", len(text)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return picture[:-12] + sealed + picture[-12:]


def drawn(field: Field) -> Iterator[str]:
    """Yield the field's HTML."""
    shown = html.escape(field.shown)
    match field.type:
        case "GROUP":
            yield f"<section><h2>{shown}</h2>"
            for one in field.fields:
                yield from drawn(one)
            yield "</section>"
            return
        case "LABEL":
            yield f"<p class=help>{shown}</p>"
        case "TEXT":
            content = html.escape(str(field.default or ""))
            hint = f"<span class=hint>{html.escape(field.hint)}</span>"
            yield f"<label>{shown}</label><div class=text>{content or hint}</div>"
        case "CHECKBOX":
            yield f"<div class=row>{'☑' if field.default else '☐'} {shown}</div>"
        case "RADIO":
            yield f"<label>{shown}</label>" if shown else ""
            for choice in field.choices:
                mark = "◉" if choice.value == field.default else "○"
                yield f"<div class=row>{mark} {html.escape(choice.shown)}</div><div class=below>"
                for one in choice.fields:
                    yield from drawn(one)
                yield "</div>"
        case "SIMPLE_TABLE":
            heads = "".join(f"<th>{html.escape(one.shown)}</th>" for one in field.columns)
            cells = "<td>&nbsp;</td>" * len(field.columns)
            yield f"<label>{shown}</label>" if shown else ""
            yield f"<table><tr>{heads}</tr><tr>{cells}</tr></table>"
    # A template's help is HTML by Google's rules.
    yield f"<p class=help>{field.help}</p>" if field.help else ""


def measured(chromium: str, body: str) -> str:
    """Return the height of the page: it writes it into its own title."""
    asked = "<script>document.title = document.documentElement.scrollHeight</script>"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(paged(body + asked))
        page_text = run(chromium, f"--window-size={WIDTH},100", "--dump-dom", page.as_uri())
    return page_text.split("<title>")[1].split("<")[0]


def taken(chromium: str, body: str, height: int, into: Path) -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(paged(body))
        run(
            chromium,
            f"--window-size={WIDTH},{height}",
            "--hide-scrollbars",
            f"--screenshot={into}",
            page.as_uri(),
        )


def paged(body: str) -> str:
    return f"<!doctype html><meta charset=utf-8><title></title><style>{STYLE}</style>{body}"


def run(chromium: str, *arguments: str) -> str:
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
