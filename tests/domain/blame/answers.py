"""Strategies: what X answers to requests of a pixel, in any order."""

from blamed_pixel import (
    BAD,
    DELIVERED,
    EVENT,
    FAILED,
    LARGE,
    LIMITED,
    NOT_YOU,
    OTHER,
    PAGE,
    UNSENT,
    WRONG_EVENT,
    Pixel,
    group_of,
)
from hypothesis import strategies as st

from twite.domain.blame.judge import Answer
from twite.domain.blame.learn import learn

OUTCOMES = [DELIVERED, BAD, LARGE, WRONG_EVENT, NOT_YOU, PAGE, FAILED, UNSENT, LIMITED]
BAD_OUTCOMES = [outcome for outcome in OUTCOMES if outcome is not DELIVERED]
# Few deliveries, so that many requests contain the same.
GROUPS = st.lists(st.integers(1, 12), min_size=1, max_size=6, unique=True).map(
    lambda ids: group_of(*ids)
)
ANSWERS = st.builds(
    Answer,
    event=st.sampled_from([EVENT, OTHER]),
    group=GROUPS,
    outcome=st.sampled_from(OUTCOMES),
    why=st.none(),
    was_hanging=st.booleans(),
    is_account_limited=st.booleans(),
    is_bisected=st.booleans(),
    may_bisect=st.booleans(),
)
BAD_ANSWERS = ANSWERS.filter(lambda answer: answer.outcome is not DELIVERED)
HISTORIES = st.lists(ANSWERS, max_size=40)


def pixel_after(answers, *, cautious=False):
    """Return a pixel to which X gave these answers, one a second."""
    pixel = Pixel(cautious=cautious)
    for answer in answers:
        pixel.now += 1_000
        pixel.evidence, _ = learn(pixel.evidence, answer, pixel.instant)
    return pixel
