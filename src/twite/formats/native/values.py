"""Read the values of a native conversion: match keys with flaws, amounts, contents, strings."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from twite.domain import normalize
from twite.domain.conversion import CURRENCIES, Content, Identifiers, amount, currency
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
from twite.domain.value_change import NO_RULE_FIELDS, RuleFields
from twite.formats.parsed_request import NO_AMOUNT_GIVEN, Native, NativeContent
from twite.redaction.scrub_text import free_text
from twite.redaction.shapes import holds_a_person

T = TypeVar("T")

MAX_TEXT: Final = 4_096
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OUR_COOKIE: Final = "1."
_WORDS: Final = {
    **dict.fromkeys(("true", "1", "yes", "new"), True),
    **dict.fromkeys(("false", "0", "no", "returning"), False),
}
# The usual form of an amount.
_TIDY: Final = re.compile(rb'"((?:0|[1-9][0-9]{0,17})\.[0-9]{2})"')
_DIGESTS: Final = frozenset({"email_sha256", "phone_sha256"})
_NULL: Final = msgspec.Raw(b"null")
_IN_NO_AMOUNT: Final = frozenset(b"@+ /")
# Longer lines of `contents` are not cached, which limits the size of the cache.
_LONGEST_LINE: Final = 512
_MOST_LINES: Final = 8_192
# The fields of a line of `contents`, in the order of its struct.
_LineValues = tuple[str | int | None, str | None, bytes, int | None, str | int | None, str | None]
# A line, its faults, and whether its texts are stored unchanged.
_ReadLine = tuple[Content, list[Fault], bool]
# Cached, because a shop sells the same products again and again.
_lines: dict[_LineValues, _ReadLine] = {}


def amount_in(raw: msgspec.Raw, *, path: str) -> str | Fault | None:
    """Return an amount as a decimal string; None if absent."""
    tidy = _TIDY.fullmatch(raw)
    return _untidy_amount(raw, path=path) if tidy is None else tidy[1].decode()


def _untidy_amount(raw: msgspec.Raw, *, path: str) -> str | Fault | None:
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
    texts = [("url", url), ("description", native.description), ("search", native.search)]
    for index, line in enumerate(native.contents or ()):
        if _length(line) > MAX_TEXT:
            texts += [
                (f"contents[{index}].{name}", text)
                for name in ("id", "name", "group", "type")
                if type(text := getattr(line, name)) is str
            ]
    for path, text in texts:
        if text is not None and len(text) > MAX_TEXT:
            faults.append(fault(path, "text_too_long", f"longer than {MAX_TEXT} characters"))


def _length(content: NativeContent) -> int:
    """Return the length of all texts of a line."""
    return (
        len(content.name or "")
        + len(content.type or "")
        + len(str(content.id))
        + len(str(content.group))
        + len(content.price)
    )


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


def identifiers_of(  # noqa: C901 - a branch for each field
    native: Native, *, region: str | None, faults: list[Fault], notes: list[Fault]
) -> Identifiers:
    """Read the match keys.

    A wrong hash is a programming error, and the conversion is refused. Other unusable identifiers,
    typed by a person or sent by a browser, are omitted with a note, and the conversion keeps the
    rest.
    """
    email: str | Fault | None = None
    phone: str | Fault | None = None
    click: str | Fault | None = None
    browser: str | Fault | None = None
    ip: str | Fault | None = None
    agent: str | Fault | None = None
    if native.email_sha256 is not None:
        email = normalize.digest(native.email_sha256, path="email_sha256")
    elif native.email is not None:
        email = normalize.email_digest(native.email, path="email")
    if native.phone_sha256 is not None:
        phone = normalize.digest(native.phone_sha256, path="phone_sha256")
    elif native.phone is not None:
        phone = normalize.phone_digest(native.phone, region=region, path="phone")
    if native.twclid is not None:
        click = normalize.click_id(native.twclid, path="twclid")
    if native.twpid is not None:
        browser = normalize.browser_id(native.twpid, path="twpid")
    if native.ip is not None:
        ip = normalize.ip_address(native.ip, path="ip")
    if native.user_agent is not None:
        agent = user_agent_of(native.user_agent)
    if (
        type(email) is Fault
        or type(phone) is Fault
        or type(click) is Fault
        or type(browser) is Fault
        or type(ip) is Fault
        or type(agent) is Fault
    ):
        read = [email, phone, click, browser, ip, agent]
        for place, value in enumerate(read):
            if isinstance(value, Fault):
                (faults if value.path in _DIGESTS else notes).append(value)
                read[place] = None
        email, phone, click, browser, ip, agent = read
    if click is None and native.url is not None:
        click = normalize.click_id_of_url(native.url)
    return Identifiers(
        click_id=click,  # type: ignore[arg-type]  # none of them is a fault
        email=email,  # type: ignore[arg-type]
        phone=phone,  # type: ignore[arg-type]
        ip=ip,  # type: ignore[arg-type]
        user_agent=agent,  # type: ignore[arg-type]
        browser_id=browser,  # type: ignore[arg-type]
    )


# Cached, because a shop's visitors use few different browsers.
@lru_cache(maxsize=2_048)
def user_agent_of(text: str) -> str | Fault:
    read = normalize.user_agent(text, path="user_agent")
    # Robots put contact details of their owner into it.
    is_bad = isinstance(read, str) and holds_a_person(read)
    return fault("user_agent", "user_agent_unusable") if is_bad else read


def money_of(native: Native, faults: list[Fault]) -> tuple[str | None, str | None, msgspec.Raw]:
    """Return the amount, the currency, and the stored form of the amount."""
    raw, money = native.value, native.currency
    value: str | None
    if (tidy := _TIDY.fullmatch(raw)) is not None:
        value = tidy[1].decode()
    else:
        value = value_or_fault(_untidy_amount(raw, path="value"), faults)
        # An invalid amount may contain anything.
        raw = raw if may_be_amount(raw) else _NULL
    if money is None:
        if value is not None:
            faults.append(fault("currency", "currency_missing"))
    elif money not in CURRENCIES:
        money = value_or_fault(currency(money, path="currency"), faults)
    return value, money, raw


def rule_fields_of(
    native: Native, notes: list[Fault]
) -> tuple[RuleFields, msgspec.Raw, msgspec.Raw]:
    """Return what only value rules read, and the stored forms of tax and shipping.

    What is unusable is omitted with a note: the conversion itself does not need it.
    """
    is_new = yes_or_no(native.new_customer)
    if is_new is None and native.new_customer is not None:
        notes.append(fault("new_customer", "wrong_type", "must be true or false"))
    if native.tax is NO_AMOUNT_GIVEN and native.shipping is NO_AMOUNT_GIVEN:
        if is_new is None:
            return NO_RULE_FIELDS, NO_AMOUNT_GIVEN, NO_AMOUNT_GIVEN
        return RuleFields(new_customer=is_new), NO_AMOUNT_GIVEN, NO_AMOUNT_GIVEN
    tax = value_or_fault(amount_in(native.tax, path="tax"), notes)
    shipping = value_or_fault(amount_in(native.shipping, path="shipping"), notes)
    fields = RuleFields(tax=tax, shipping=shipping, new_customer=is_new)
    return (
        fields,
        NO_AMOUNT_GIVEN if tax is None else native.tax,
        NO_AMOUNT_GIVEN if shipping is None else native.shipping,
    )


def yes_or_no(value: object) -> bool | None:
    """Return what a value says, such as true, 1 or "returning"; None if it says neither."""
    if isinstance(value, bool):
        return value
    return _WORDS.get(str(value).strip().lower()) if isinstance(value, (int, str)) else None


def may_be_amount(raw: msgspec.Raw) -> bool:
    """Whether a value can be nothing but an amount, valid or not."""
    return len(raw) < 32 and _IN_NO_AMOUNT.isdisjoint(bytes(raw))


def contents_of(
    native: Native, faults: list[Fault]
) -> tuple[tuple[Content, ...], list[NativeContent] | None, int | None]:
    """Return the lines, their stored form, and X's number_items.

    This is the sum of quantities, if every line has one.
    """
    if not native.contents:
        return (), native.contents, None
    contents = []
    is_same = True
    total: int | None = 0
    for index, line in enumerate(native.contents):
        values = line.id, line.name, bytes(line.price), line.quantity, line.group, line.type
        content, own, is_unchanged = _lines.get(values) or _read_line(line, values)
        contents.append(content)
        is_same &= is_unchanged
        total = None if total is None or line.quantity is None else total + line.quantity
        for found in own:
            path = f"contents[{index}].{found.path}"
            faults.append(msgspec.structs.replace(found, path=path))
    if is_same:
        return tuple(contents), native.contents, total
    kept = [
        msgspec.structs.replace(line, id=text.id, name=text.name, group=text.group, type=text.type)
        for line, text in zip(native.contents, contents, strict=True)
    ]
    return tuple(contents), kept, total


def _read_line(native_content: NativeContent, values: _LineValues) -> _ReadLine:
    id_, name, price, quantity, group, kind = values
    faults: list[Fault] = []
    if quantity is not None and not 0 < quantity < 2**31:
        faults.append(fault("quantity", "not_a_count"))
    content = Content(
        id=None if id_ is None else free_text(str(id_)),
        name=free_text(name),
        price=value_or_fault(amount_in(msgspec.Raw(price), path="price"), faults),
        quantity=quantity,
        group=None if group is None else free_text(str(group)),
        type=free_text(kind),
    )
    is_unchanged = (
        (content.name, content.type) == (name, kind)
        and (content.id == id_ or type(id_) is int)
        and (content.group == group or type(group) is int)
    )
    read = content, faults, is_unchanged
    if _length(native_content) <= _LONGEST_LINE:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        _lines[values] = read
    return read


def value_or_fault(read: T | Fault, faults: list[Fault]) -> T | None:
    if type(read) is Fault:
        faults.append(read)
        return None
    return read  # type: ignore[return-value]  # no fault
