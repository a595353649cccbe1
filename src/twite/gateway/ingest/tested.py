"""Submissions of sources in test mode: nothing in them is counted or joined with real ones."""

from msgspec.structs import replace

from twite.domain.conversion import dedup_key
from twite.domain.submission import AcceptedConversion, Submission
from twite.domain.test_mode import in_test, is_test


def tested(submission: Submission) -> Submission:
    """Return a submission as it is recorded: in test mode, for the test names of its pixels."""
    if not is_test(submission.source):
        return submission
    return replace(
        submission,
        entries=tuple(map(tested_conversion, submission.entries)),
        refusals=tuple(
            replace(refusal, pixel=in_test(refusal.pixel)) for refusal in submission.refusals
        ),
        flaws=tuple(replace(flaw, pixel=in_test(flaw.pixel)) for flaw in submission.flaws),
        dedup_rows=(),
        known=(),
    )


def tested_conversion(conversion: AcceptedConversion) -> AcceptedConversion:
    """Return a conversion for the test name of its pixel."""
    pixel = in_test(conversion.pixel)
    return replace(
        conversion,
        pixel=pixel,
        # A real conversion with the same id is no duplicate of a test.
        key=dedup_key(pixel, conversion.event, conversion.conversion_id),
    )
