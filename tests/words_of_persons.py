"""The words for personal data, by the kinds that the docs list."""

from twite.redaction import words

OF_PERSONS = {
    "email": words.EMAILS | words.SHORT_EMAILS,
    "phone": words.PHONES | words.SHORT_PHONES,
    "name": words.NAMES | words.SHORT_NAMES | words.NAMES_OF_THINGS,
    "detail": words.DETAILS,
}
