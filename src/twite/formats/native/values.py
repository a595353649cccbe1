"""Read the values of a native conversion: match keys with flaws, amounts, contents, strings."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from twite.domain import normalize
from twite.domain.conversion import Content, Identifiers, amount, currency
from twite.domain.fault import Fault, fault
from twite.domain.stats.match_keys import (
    FLAWS,
    Flaw,
    digest_flaw,
    is_digest,
    is_placeholder,
    shape_of,
    stale,
)
from twite.formats.parsed_request import Native, NativeContent
from twite.redaction.scrub_text import free_text
from twite.redaction.shapes import holds_a_person

T = TypeVar("T")

MAX_TEXT: Final = 4_096
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OUR_COOKIE: Final = "1."


def amount_in(raw: msgspec.Raw, *, path: str) -> str | Fault | None:
    """Return an amount as a decimal string; None if absent."""
    text = bytes(raw).decode()
    if text == "null":
        return None
    if text[0] == '"':
        text = msgspec.json.decode(text, type=str) if "\\" in text else text[1:-1]
    elif text[0] in "{[tf":
        return fault(path, "not_an_amount")
    return amount(text, path=path)


def is_more(raw: msgspec.Raw, limit: Decimal) -> bool:
    """Return whether an amount exceeds a limit.

    Invalid amounts are rejected later, with an error.
    """
    read = amount_in(raw, path="value")
    return isinstance(read, str) and Decimal(read) > limit


def refuse_long_texts(native: Native, url: str | None, faults: list[Fault]) -> None:
    texts: list[tuple[str, object]] = [
        ("url", url),
        ("description", native.description),
        ("search", native.search),
    ]
    for index, line in enumerate(native.contents or ()):
        texts.extend(
            (f"contents[{index}].{name}", getattr(line, name))
            for name in ("id", "name", "group", "type")
        )
    for path, text in texts:
        if isinstance(text, str) and len(text) > MAX_TEXT:
            faults.append(fault(path, "text_too_long", f"longer than {MAX_TEXT} characters"))


def refuse_control_characters(native: Native, faults: list[Fault]) -> None:
    """Add a fault for every text with a control character, except the user agent."""
    for name in Native.__struct_fields__:
        text = getattr(native, name)
        if isinstance(text, str) and name != "user_agent" and _CONTROL.search(text.strip()):
            faults.append(fault(name, "control_character"))
    for index, line in enumerate(native.contents or ()):
        for name in NativeContent.__struct_fields__:
            text = getattr(line, name)
            if isinstance(text, str) and _CONTROL.search(text):
                faults.append(fault(f"contents[{index}].{name}", "control_character"))


def flaws_of(
    native: Native, identifiers: Identifiers, faults: Sequence[Fault], *, now: int
) -> tuple[Flaw, ...]:
    """Return the flaws of match keys; `faults` are the faults and notes found so far."""
    if not faults and native.email_sha256 is None and native.phone_sha256 is None:
        # A fast path for the usual case.
        email, click = native.email, native.twclid
        if (email is None or ("@" in email and not is_placeholder(email))) and (
            click is None or not click.startswith(_OUR_COOKIE)
        ):
            return ()
    found = [
        Flaw(code=fault.code, path=fault.path, shape=_shape(native, fault.path))
        for fault in faults
        if fault.code in FLAWS
    ]
    if native.email_sha256 is not None and identifiers.email is not None:
        flaw = digest_flaw(native.email_sha256, path="email_sha256", raw=native.email)
        found += [] if flaw is None else [flaw]
    elif identifiers.email is None or native.email is None:
        pass
    elif is_digest(native.email):
        flaw = digest_flaw(native.email, path="email")
        found += [] if flaw is None else [flaw]
    elif is_placeholder(native.email):
        found.append(Flaw(code="email_placeholder", path="email", shape=shape_of(native.email)))
    if native.phone_sha256 is not None and identifiers.phone is not None:
        flaw = digest_flaw(native.phone_sha256, path="phone_sha256", raw=native.phone)
        found += [] if flaw is None else [flaw]
    if native.twclid is not None and native.twclid.startswith(_OUR_COOKIE):
        at = native.twclid.split(".", 2)[1]
        if at.isascii() and at.isdigit() and len(at) <= 15 and stale(int(at), now=now):
            found.append(Flaw(code="click_stale", path="twclid"))
    return tuple(found)


def digests_of(native: Native) -> tuple[bool, bool]:
    """Return whether email and phone were submitted as digests, in either of their fields."""
    return (
        native.email_sha256 is not None or (native.email is not None and is_digest(native.email)),
        native.phone_sha256 is not None or (native.phone is not None and is_digest(native.phone)),
    )


def _shape(native: Native, path: str) -> str:
    text = getattr(native, path, None) if path else None
    if not isinstance(text, str):
        return ""
    return text if path == "ip" and normalize.is_private_address(text) else shape_of(text)


def identifiers_of(
    native: Native, *, region: str | None, faults: list[Fault], notes: list[Fault]
) -> Identifiers:
    """Read the match keys.

    A wrong hash is a programming error, and the conversion is refused. Other unusable identifiers,
    typed by a person or sent by a browser, are omitted with a note, and the conversion keeps the
    rest.
    """
    email = phone = click = browser = ip = agent = None
    if native.email_sha256 is not None:
        email = value_or_fault(normalize.digest(native.email_sha256, path="email_sha256"), faults)
    elif native.email is not None:
        email = value_or_fault(normalize.email_digest(native.email, path="email"), notes)
    if native.phone_sha256 is not None:
        phone = value_or_fault(normalize.digest(native.phone_sha256, path="phone_sha256"), faults)
    elif native.phone is not None:
        phone = value_or_fault(
            normalize.phone_digest(native.phone, region=region, path="phone"), notes
        )
    if native.twclid is not None:
        click = value_or_fault(normalize.click_id(native.twclid, path="twclid"), notes)
    if click is None and native.url is not None:
        click = normalize.click_id_of_url(native.url)
    if native.twpid is not None:
        browser = value_or_fault(normalize.browser_id(native.twpid, path="twpid"), notes)
    if native.ip is not None:
        ip = value_or_fault(normalize.ip_address(native.ip, path="ip"), notes)
    if native.user_agent is not None:
        agent = value_or_fault(user_agent_of(native.user_agent), notes)
    return Identifiers(
        click_id=click, email=email, phone=phone, ip=ip, user_agent=agent, browser_id=browser
    )


# Cached, because a shop's visitors use few different browsers.
@lru_cache(maxsize=2_048)
def user_agent_of(text: str) -> str | Fault:
    read = normalize.user_agent(text, path="user_agent")
    # Robots put contact details of their owner into it.
    is_bad = isinstance(read, str) and holds_a_person(read)
    return fault("user_agent", "user_agent_unusable") if is_bad else read


def money_of(native: Native, faults: list[Fault]) -> tuple[str | None, str | None]:
    value = value_or_fault(amount_in(native.value, path="value"), faults)
    money = None
    if native.currency is not None:
        money = value_or_fault(currency(native.currency, path="currency"), faults)
    elif value is not None:
        faults.append(fault("currency", "currency_missing"))
    return value, money


def contents_of(native: Native, faults: list[Fault]) -> tuple[Content, ...]:
    if not native.contents:
        return ()
    contents = []
    for index, line in enumerate(native.contents):
        own: list[Fault] = []
        contents.append(_content(line, own))
        for found in own:
            path = f"contents[{index}].{found.path}"
            faults.append(msgspec.structs.replace(found, path=path))
    return tuple(contents)


def _content(content: NativeContent, faults: list[Fault]) -> Content:
    if content.quantity is not None and not 0 < content.quantity < 2**31:
        faults.append(fault("quantity", "not_a_count"))
    return Content(
        id=None if content.id is None else free_text(str(content.id)),
        name=free_text(content.name),
        price=value_or_fault(amount_in(content.price, path="price"), faults),
        quantity=content.quantity,
        group=None if content.group is None else free_text(str(content.group)),
        type=free_text(content.type),
    )


def quantity_of(contents: tuple[Content, ...]) -> int | None:
    """Return X's number_items: the sum of quantities, if every line has one."""
    counts = [content.quantity for content in contents if content.quantity is not None]
    return sum(counts) if counts and len(counts) == len(contents) else None


def value_or_fault(read: T | Fault, faults: list[Fault]) -> T | None:
    if isinstance(read, Fault):
        faults.append(read)
        return None
    return read
