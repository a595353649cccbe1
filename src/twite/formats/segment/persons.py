"""Persons that the `identify` calls of a request describe, found by the ids of other calls."""

from collections.abc import Iterable

from twite.domain.secret import Masked

_Key = tuple[str, str]


class IdentifiedPerson(Masked, frozen=True, kw_only=True):
    """What an `identify` says about a person, with the ids that other calls repeat."""

    user_id: str | None
    anonymous_id: str | None
    email: str | None = None
    phone: str | None = None


class PersonIndex:
    """The latest email and phone for each id.

    Persons who share a browser share its anonymous id. So an anonymous id finds a person with a
    user id only for calls that have none.
    """

    def __init__(self, persons: Iterable[IdentifiedPerson]) -> None:
        self._emails: dict[_Key, str] = {}
        self._phones: dict[_Key, str] = {}
        for person in persons:
            for key in _keys(person):
                if person.email is not None:
                    self._emails[key] = person.email
                if person.phone is not None:
                    self._phones[key] = person.phone

    def found(self, user_id: str | None, anonymous_id: str | None) -> tuple[str | None, str | None]:
        """Return the email and the phone of the person who made a call with these ids."""
        unnamed = ("unnamed", anonymous_id or "")
        keys = (
            [("anonymous", anonymous_id or "")] if user_id is None else [("user", user_id), unnamed]
        )
        email = next((self._emails[key] for key in keys if key in self._emails), None)
        phone = next((self._phones[key] for key in keys if key in self._phones), None)
        return email, phone


def _keys(person: IdentifiedPerson) -> Iterable[_Key]:
    if person.user_id is not None:
        yield "user", person.user_id
    if person.anonymous_id is not None:
        yield "anonymous", person.anonymous_id
        if person.user_id is None:
            yield "unnamed", person.anonymous_id
