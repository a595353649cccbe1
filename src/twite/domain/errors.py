"""Errors raised across layers: ClientError, OperatorError, TransientError or InternalError.

The class determines who must act. Errors carry data; the user interface writes the message.
"""

from collections.abc import Iterable


class TwiteError(Exception):
    """The base class of Twite's errors."""


class ClientError(TwiteError):
    """The client must change something."""


class MalformedRequest(ClientError):
    """The body is not JSON, or has the wrong shape.

    `path` names the place, such as `conversions[3].email` (empty: the whole body); `code` is
    stable.
    """

    def __init__(self, *, code: str, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path
        self.message = message


class NameTaken(ClientError):
    """An earlier request with different content used the same idempotency key."""


class SignedOut(ClientError):
    """The user's session ended before the request was done."""

    def __init__(self) -> None:
        super().__init__(
            "you have been signed out: your account was changed or removed, or you signed out "
            "elsewhere. Nothing was changed"
        )


class OperatorError(TwiteError):
    """The operator must change something."""


class UnknownName(OperatorError):
    """There is no pixel, tag or account of this name. The message lists those that exist."""

    def __init__(self, problem: str, *, available: Iterable[str]) -> None:
        super().__init__(f"{problem}. Available: {', '.join(available) or 'none'}")


class SettingsError(OperatorError):
    """A setting is wrong. `place` is the key's path, such as `pixel[0].auth`.

    `others` are the errors of further settings, found at the same time. The text has a line each.
    """

    def __init__(
        self, place: str, message: str, *, others: "tuple[SettingsError, ...]" = ()
    ) -> None:
        own = f"{place}: {message}" if place else message
        super().__init__("\n".join([own, *map(str, others)]))
        self.place = place
        self.message = message
        self.others = others

    @property
    def each(self) -> "tuple[SettingsError, ...]":
        """The errors one by one."""
        return (SettingsError(self.place, self.message), *self.others)


class StoreInUse(OperatorError):
    """Another process uses the database file. `owner` is its process id, if known."""

    def __init__(self, *, path: str, owner: int | None) -> None:
        super().__init__(
            f"{path} is in use by {f'process {owner}' if owner else 'another process'}. "
            "Stop that process, or set another store.url"
        )
        self.path = path
        self.owner = owner


class StoreUnusable(OperatorError):
    """The database cannot be opened. `fix` says what to do."""

    def __init__(self, path: str, reason: str, fix: str) -> None:
        super().__init__(f"{path}: {reason}. {fix}")
        self.path = path
        self.reason = reason
        self.fix = fix


class InvalidAccountChange(OperatorError):
    """The requested change of a user, role, password or key is not allowed."""


class NotOpened(OperatorError):
    """A sealed secret cannot be opened: another key sealed it, or the bytes were changed."""

    def __init__(self, name: str, *, key_id: str) -> None:
        super().__init__(
            f"{name} was encrypted with the key {key_id}, which is not configured: add that key to "
            "server.former_secret_keys"
        )
        self.name = name


class RefusedByX(OperatorError):
    """X, or the user who signed in, refused a request that does not send conversions.

    `why` is one word for programs; `reason` holds X's words, which may echo the request; `fix`
    says what to do.
    """

    def __init__(self, *, why: str, status: int, reason: str, fix: str) -> None:
        super().__init__(f"{reason[:1].upper()}{reason[1:]}. {fix}")
        self.why = why
        self.status = status
        self.reason = reason
        self.fix = fix


class EventRefused(OperatorError):
    """X would refuse this event. No request was sent."""


class ClientFailed(OperatorError):
    """A client claimed the request and did not respond. `late`: it exceeded its time limit."""

    def __init__(self, *, client: str, late: bool = False) -> None:
        why = "did not answer in time" if late else "ended without an answer"
        super().__init__(f"the client {client} {why}")
        self.late = late


class TransientError(TwiteError):
    """A retry may succeed. `retry_after` is in seconds."""

    def __init__(self, *, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class QueueFull(TransientError):
    """The write queue is full."""


class LedgerUnavailable(TransientError):
    """The commit failed (disk full, I/O error, shutdown); nothing was stored."""


class TemplatesBusy(TransientError):
    """Too many requests are running in tag templates."""


class TemplatePaused(TemplatesBusy):
    """A template exceeded a limit and is on probation: it pauses between runs."""

    def __init__(self, *, template: str, retry_after: int) -> None:
        super().__init__(
            reason=f"the template {template} is paused because it exceeded a limit",
            retry_after=retry_after,
        )
        self.template = template


class XUnanswering(TransientError):
    """X's Ads API does not answer, or responds that it is unavailable.

    `is_named`: `retry_after` is the time that X named, which counts for all requests of the user.
    """

    def __init__(self, *, reason: str, retry_after: int, is_named: bool = False) -> None:
        super().__init__(reason=reason, retry_after=retry_after)
        self.is_named = is_named


class InternalError(TwiteError):
    """A bug in Twite."""


class IllegalTransition(InternalError):
    """The state of a delivery does not allow a transition."""
