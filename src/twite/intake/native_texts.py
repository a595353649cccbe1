"""What people wrote in a submission: how long it may be, and what may not stand in it."""

import re
from typing import Final

from twite.domain.fault import Fault, fault
from twite.intake.native_shape import Native, NativeContent

MAX_TEXT: Final = 4_096

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# An email begins where a word does. Without the look back, a search would begin anew at each letter
# and a long word take the square of its length: a minute for 64 kB.
_EMAIL: Final = re.compile(r"(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+")
# Written with its country code, so that no order number is taken for one.
_PHONE: Final = re.compile(r"\+[1-9](?:[\s().-]?\d){7,14}(?!\d)")
_EMAIL_IN_JSON: Final = re.compile(rb"""(?<![^\s"@\\/])[^\s"@\\/]+@[^\s"@\\/]+\.[^\s"@\\/]+""")


def free_text(text: str | None) -> str | None:
    """Return what people wrote, without emails and international phone numbers.

    None where nothing is left.
    """
    if text is None:
        return None
    plain = text.strip()
    if "@" in plain:
        plain = _EMAIL.sub("***", plain)
    if "+" in plain:
        plain = _PHONE.sub("***", plain)
    return plain or None


def names_a_person(text: str) -> bool:
    """Return whether there is an email in a text that must stay as it is."""
    return "@" in text and _EMAIL.search(text) is not None


def without_emails(kept: bytes) -> bytes:
    """Return JSON without the emails in it, in whatever field somebody put them by mistake."""
    return _EMAIL_IN_JSON.sub(b"***", kept) if b"@" in kept else kept


def refuse_long_texts(given: Native, url: str | None, faults: list[Fault]) -> None:
    texts: list[tuple[str, object]] = [
        ("url", url),
        ("description", given.description),
        ("search", given.search),
    ]
    for index, one in enumerate(given.contents or ()):
        texts.extend(
            (f"contents[{index}].{name}", getattr(one, name))
            for name in ("id", "name", "group", "type")
        )
    for path, text in texts:
        if isinstance(text, str) and len(text) > MAX_TEXT:
            faults.append(fault(path, "text_too_long", f"longer than {MAX_TEXT} characters"))


def refuse_control_characters(given: Native, faults: list[Fault]) -> None:
    """Name every text with a control character but a user agent, which is left out instead."""
    for name in Native.__struct_fields__:
        text = getattr(given, name)
        if isinstance(text, str) and name != "user_agent" and _CONTROL.search(text.strip()):
            faults.append(fault(name, "control_character"))
    for index, one in enumerate(given.contents or ()):
        for name in NativeContent.__struct_fields__:
            text = getattr(one, name)
            if isinstance(text, str) and _CONTROL.search(text):
                faults.append(fault(f"contents[{index}].{name}", "control_character"))
