"""Errors raised across layers, classified by who must act: client, operator, or nobody (transient).

TwiteError
├── SenderError             the one who submitted: another try changes nothing
│   ├── Malformed           not JSON, or not the shape; nothing of it was kept
│   ├── AnotherByThatName   another request had its idempotency key; nothing of it was kept
│   └── SignedOut           the session by which something was asked is over; nothing was done
├── OperatorError           the operator's mistake
│   ├── SettingsError       a key in twite.toml, with its place
│   ├── StoreInUse          another process owns the database
│   ├── StoreUnusable       the database cannot be opened, or is newer than this code
│   ├── Unfit               what was asked of users and keys cannot be
│   ├── NotOpened           a secret was sealed with a key that is not here
│   └── RefusedByX          X does not do what was asked of its Ads API, and says why
├── PassingError            nobody: it passes
│   ├── LedgerFull          the queue for the disk is full
│   ├── TemplatesBusy       more is in the hands of tag templates than may be
│   │   └── TemplateRests   a template that passed a limit rests
│   ├── XUnanswering        X's Ads API gives no answer, or one of its own troubles
│   └── LedgerUnavailable   the commit failed; nothing of it was kept
└── OurError                us
    └── IllegalTransition   a delivery was asked to do what its state does not allow

They carry data; the sentence for a person is made at the edge that shows it.
"""


class TwiteError(Exception):
    """The root: what Twite raises across a border is one of these."""


class ClientError(TwiteError):
    """The client must change something."""


class MalformedRequest(ClientError):
    """The bytes are not JSON, or not the shape that the route takes.

    `path` names the place as in `conversions[3].email` ("" for the whole), `code` is stable.
    """

    def __init__(self, *, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.message = message


class NameTaken(ClientError):
    """Another request with other content used the same idempotency key."""


class SignedOut(ClientError):
    """The user's session ended before the request was done."""

    def __init__(self) -> None:
        super().__init__(
            "you were signed out meanwhile, by somebody who changed or removed your account or by "
            "yourself elsewhere. Nothing was done"
        )


class OperatorError(TwiteError):
    """The operator must change something."""


class SettingsError(OperatorError):
    """A setting is wrong. `place` is the key's path, as in `pixel[0].auth`."""

    def __init__(self, *, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message


class StoreInUse(OperatorError):
    """Another process owns the database file. `owner` is its process id, where known."""

    def __init__(self, *, path: str, owner: int | None) -> None:
        super().__init__(
            f"{path} is in use by {f'process {owner}' if owner else 'another process'}. "
            "Stop that one, or give this one a store.url of its own"
        )
        self.path = path
        self.owner = owner


class StoreUnusable(OperatorError):
    """The database cannot be opened as it is. `cure` says what to do."""

    def __init__(self, *, path: str, reason: str, cure: str) -> None:
        super().__init__(f"{path}: {reason}. {cure}")
        self.path = path
        self.reason = reason
        self.cure = cure


class InvalidAccountChange(OperatorError):
    """A user, role, password or key is not allowed as requested."""


class NotOpened(OperatorError):
    """A sealed secret cannot be opened: the key is another one, or the bytes were changed."""

    def __init__(self, name: str, *, key_id: str) -> None:
        super().__init__(
            f"{name} was sealed with the key {key_id}, which is not here: name that key among "
            "server.former_secret_keys"
        )
        self.name = name


class RefusedByX(OperatorError):
    """X, or the user who signed in, refused a request other than conversions.

    `why` is one word for programs; `reason` holds X's words, which echo what was sent; `cure` says
    what to do.
    """

    def __init__(self, *, why: str, status: int, reason: str, cure: str) -> None:
        super().__init__(f"{reason[:1].upper()}{reason[1:]}. {cure}")
        self.why = why
        self.status = status
        self.reason = reason
        self.cure = cure


class EventRefused(OperatorError):
    """An event of X's cannot be like that; `faults` are sentences. X was not asked."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class TransientError(TwiteError):
    """Transient: a retry may succeed. `retry_after` is in seconds."""

    def __init__(self, *, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class LedgerFull(TransientError):
    """Too much is waiting for the disk: refuse, do not queue."""


class LedgerUnavailable(TransientError):
    """The commit failed (disk full, I/O error, closing down); nothing of it was kept."""


class TemplatesBusy(TransientError):
    """Too many requests are in tag templates: refuse, do not queue."""


class TemplateRests(TemplatesBusy):
    """A template passed a limit and is on probation: it pauses between its runs."""

    def __init__(self, *, template: str, retry_after: int) -> None:
        super().__init__(reason=f"the template {template} rests", retry_after=retry_after)
        self.template = template


class XUnanswering(TransientError):
    """X's Ads API does not answer, or says that it is unavailable."""


class InternalError(TwiteError):
    """A bug in Twite."""


class IllegalTransition(InternalError):
    """The state of a delivery does not allow a transition."""
