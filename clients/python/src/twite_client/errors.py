"""Why a conversion was not stored. No text contains a key or a value of the conversion."""

from collections.abc import Sequence

from twite_client.types import Fault, Receipt


class TwiteError(Exception):
    """The gateway did not store what was passed.

    `receipt` has the verdicts of earlier requests of the same call: `send_many` sends 1,000
    conversions a request. `sent` is how many conversions these requests had.
    """

    receipt: Receipt = Receipt()
    sent: int = 0


class RequestRefusedError(TwiteError):
    """The gateway refused the request; a retry would be refused, too.

    `status` is the HTTP status, such as 409 for another request with the same idempotency key.
    """

    def __init__(self, status: int, faults: Sequence[Fault]) -> None:
        self.status = status
        self.faults = tuple(faults)
        texts = "; ".join(fault.message for fault in faults) or "no reason given"
        super().__init__(f"the gateway answered {status}: {texts}")


class WrongKeyError(RequestRefusedError):
    """401: the source key is missing or unknown."""


class ConversionRejectedError(TwiteError):
    """`send` only: the conversion is invalid. `faults` has each field with its error code."""

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt
        self.faults = tuple(receipt.rejected[0])
        texts = "; ".join(
            f"{fault.path}: {fault.message}" if fault.path else fault.message
            for fault in self.faults
        )
        super().__init__(f"the conversion was rejected: {texts}")


class GatewayUnavailableError(TwiteError):
    """All attempts failed, and the last one with this text. It is not known what was stored.

    A later call with the same `idempotency_key` counts nothing twice.
    """

    def __init__(self, reason: str, *, attempts: int, idempotency_key: str) -> None:
        self.attempts = attempts
        self.idempotency_key = idempotency_key
        super().__init__(f"no success after {attempts} attempts: {reason}")


class BufferFullError(TwiteError):
    """The buffer has no room for the conversion: nothing was kept of it."""
