"""Text limits of the native format: length and control characters."""

import re
from typing import Final

from twite.domain.fault import Fault, fault
from twite.formats.native_shape import Native, NativeContent

MAX_TEXT: Final = 4_096

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def refuse_long_texts(given: Native, url: str | None, faults: list[Fault]) -> None:
    texts: list[tuple[str, object]] = [
        ("url", url),
        ("description", given.description),
        ("search", given.search),
    ]
    for index, line in enumerate(given.contents or ()):
        texts.extend(
            (f"contents[{index}].{name}", getattr(line, name))
            for name in ("id", "name", "group", "type")
        )
    for path, text in texts:
        if isinstance(text, str) and len(text) > MAX_TEXT:
            faults.append(fault(path, "text_too_long", f"longer than {MAX_TEXT} characters"))


def refuse_control_characters(given: Native, faults: list[Fault]) -> None:
    """Add a fault for every text with a control character; a user agent is left out instead."""
    for name in Native.__struct_fields__:
        text = getattr(given, name)
        if isinstance(text, str) and name != "user_agent" and _CONTROL.search(text.strip()):
            faults.append(fault(name, "control_character"))
    for index, line in enumerate(given.contents or ()):
        for name in NativeContent.__struct_fields__:
            text = getattr(line, name)
            if isinstance(text, str) and _CONTROL.search(text):
                faults.append(fault(f"contents[{index}].{name}", "control_character"))
