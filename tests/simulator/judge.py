"""The judge: records acknowledgements and X's requests, and checks what must never happen.

It is independent of the gateway: it looks at what the store has done, not at what the gateway
believes.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from simulator.checks import CHECKS, OPEN, Finding, duration_text
from simulator.clock import TrialClock
from simulator.records import Key, PixelRecord, Request, Truth
from simulator.store import Span
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.blame.judge import MOST_IN_A_ROW
from twite.domain.delivery import AMBIGUITY_WINDOW, PATIENCE, Batch, Settlement, Trigger
from twite.domain.destination import RATE_WINDOW, Destination
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.state import RateLimitWindow

# X drops a duplicate that arrives within this time.
COPY_WINDOW: Final = 48 * HOUR
# How much later than its deadline a request may leave, if it was claimed in time.
_GRACE: Final = MINUTE
_GOING: Final = 3 * SECOND
# The maximum time to X for a pixel without faults.
PROMPT: Final = 30 * SECOND
# A request that takes longer stops counting towards the limit of concurrent ones, as long as the
# pixel has fewer than MOST_IN_FLIGHT.
MAY_HANG: Final = 3 * SECOND
MOST_IN_FLIGHT: Final = 64
_FOREVER: Final = 1 << 62


class Judge:
    """Observes everything, and collects findings."""

    def __init__(
        self,
        *,
        clock: TrialClock,
        destinations: tuple[Destination, ...],
        worker_config: WorkerConfig,
    ) -> None:
        self.findings: list[Finding] = []
        self.known: list[Finding] = []
        self.truths: dict[Key, Truth] = {}
        self.requests = 0
        self.copies = 0
        # The last fault of the store or the process.
        self.troubled_at = -HOUR
        self._clock = clock
        self._worker_config = worker_config
        self._meters = {destination.pixel: destination.meter for destination in destinations}
        self._rates = {destination.meter: destination.rate for destination in destinations}
        self._sent: dict[str, deque[tuple[int, int]]] = {rate: deque() for rate in self._rates}
        self._resets: dict[str, tuple[int, int, Span]] = {}
        # The stored resets: those not stored are lost when their process crashes.
        self._noted: dict[str, int] = {}
        self._pixels = {destination.pixel: PixelRecord() for destination in destinations}
        self._ids: dict[int, Key] = {}
        # The deliveries that X refused and that were given up.
        self._dead: set[int] = set()

    def fail(self, check: str, text: str) -> None:
        """Record a failed check."""
        if check not in CHECKS:
            raise KeyError(check)
        finding = Finding(check=check, at=self._clock.elapsed(), text=text)
        (self.known if check in OPEN else self.findings).append(finding)

    def offered(self, key: Key, *, poison: bool, suppressed: bool) -> None:
        """Observe a submission of a client, perhaps a repeated one."""
        truth = self.truths.setdefault(key, Truth(poison=poison, suppressed=suppressed))
        truth.offered_at = self._clock.elapsed()
        if truth.first_heard is None:
            truth.first_heard = truth.offered_at

    def acknowledged(self, key: Key) -> None:
        """Observe that a client got an acknowledgement."""
        truth = self.truths[key]
        if truth.acknowledged_at is None:
            truth.acknowledged_at = self._clock.elapsed()

    def leaves(self, span: Span, pixel: str, copies: list[tuple[Key, bytes]]) -> Request:
        """Observe that a request leaves the gateway."""
        now = self._clock.elapsed()
        keys = tuple(key for key, _ in copies)
        since = [self.truths[key].suspect_since for key in keys]
        accepted = self._pixels[pixel].taken_at
        is_suspected = all(moment is not None and moment < accepted for moment in since)
        request = Request(span=span, pixel=pixel, keys=keys, at=now, is_suspected=is_suspected)
        self.requests += 1
        self.copies += len(copies)
        self._check_shape(request)
        self._check_pace(request)
        self._check_probe(request)
        for key, body in copies:
            self._check_copy(key, body, now)
        self._pixels[pixel].in_progress.append(request)
        if len(copies) == 1 and self.truths[copies[0][0]].poison:
            self._pixels[pixel].poisoned_at = now
        return request

    def takes(self, request: Request) -> None:
        """Observe that X has accepted a whole request."""
        now = self._clock.elapsed()
        for key in request.keys:
            truth = self.truths[key]
            if truth.poison:
                self.fail("poison_is_not_delivered", f"X took {_named(key)}")
            truth.ever_taken = True
            if truth.taken_at is None:
                truth.taken_at = now
            elif now - truth.taken_at > COPY_WINDOW:
                self.fail("counted_once", f"{_named(key)} came again after {_ago(truth, now)}")

    def answered(
        self, request: Request, *, doubt: bool, refused_pixel: bool, passed: bool, taken: bool
    ) -> None:
        """Observe what the gateway learns about a request: whether X's result is ambiguous.

        `passed`: X has judged the content; `taken`: whether X accepted it.
        """
        self._lands(request, doubt=doubt)
        pixel, now = self._pixels[request.pixel], self._clock.elapsed()
        if pixel.span is not request.span:
            pixel.refused, pixel.is_unclear, pixel.span = set(), False, request.span
            pixel.refusals = 0
            pixel.refused_events.clear()
        # With one slot, a bisect uses none of the others' slots, either.
        is_bisected = not taken and self._worker_config.in_flight == 1
        if is_bisected or not (passed or taken) or (taken and request.event in pixel.bad_until):
            pixel.bad_until[request.event] = now + _GOING if taken else _FOREVER
        if refused_pixel:
            pixel.refused_events.add(request.event)
            since = [self.truths[key].suspect_since for key in request.keys]
            pixel.is_unclear |= any(
                moment is not None and moment < pixel.taken_at for moment in since
            )
            self._count_refusal(pixel, request)
            if not pixel.is_unclear or len(pixel.refused) > MOST_IN_A_ROW:
                pixel.refused_at = now
        elif passed:
            pixel.refused_at = None
            pixel.refused.clear()
            pixel.refused_events.clear()
            pixel.refusals = 0
        pixel.answers += 1
        if taken:
            pixel.taken_at = pixel.answers
        for key in request.keys:
            truth = self.truths[key]
            if taken:
                truth.suspect_since = truth.refused_alone = None
            elif (doubt or refused_pixel) and truth.suspect_since is None:
                truth.suspect_since = pixel.answers

    def _count_refusal(self, pixel: PixelRecord, request: Request) -> None:
        """Count a refusal, unless X already refused the conversion alone."""
        pixel.refusals += 1
        truth = self.truths[request.keys[0]]
        if len(request.keys) > 1 or truth.refused_alone is not request.span:
            pixel.refused.add(request.keys[0])
        if len(request.keys) == 1:
            truth.refused_alone = request.span

    def reported_reset(self, request: Request, at: int) -> None:
        """Observe that the gateway learns when X's limit resets (elapsed)."""
        self._resets[self._meters[request.pixel]] = at, self._clock.elapsed(), request.span

    def noted(self, closures: Sequence[RateLimitWindow]) -> None:
        """Observe that the last reported resets are stored."""
        for closure in closures:
            meter = self._meters[closure.pixel]
            if meter in self._resets:
                self._noted[meter] = self._resets[meter][0]

    def ended(self, span: Span) -> None:
        """Observe that a process has ended: its requests in flight are ambiguous."""
        self.troubled()
        for pixel in self._pixels.values():
            for request in [request for request in pixel.in_progress if request.span is span]:
                self._lands(request, doubt=True)

    def jumped(self) -> None:
        """Observe a jump of the gateway's wall clock."""
        self.troubled()
        for truth in self.truths.values():
            truth.jumped = truth.in_progress > 0

    def claimed(self, batch: Batch) -> None:
        for delivery in batch.deliveries:
            key = self._ids[delivery.id] = (batch.pixel, batch.event, delivery.conversion_id)
            truth = self.truths[key]
            if truth.delivery is not None and delivery.id > truth.delivery:
                self._check_successor(key, truth, body=delivery.body)
            truth.delivery = max(delivery.id, truth.delivery or 0)

    def doubted(self, deliveries: Sequence[int]) -> None:
        """Observe that these deliveries are held instead of given up."""
        self._dead.difference_update(deliveries)

    def settled(self, settlement: Settlement) -> None:
        for transition in settlement.transitions:
            for id_ in transition.deliveries:
                key = self._ids[id_]
                truth = self.truths[key]
                if transition.trigger is Trigger.DELIVERED:
                    truth.settled_at = self._clock.elapsed()
                    if not truth.ever_taken:
                        self.fail("delivered_is_at_x", f"{_named(key)} is not")
                elif transition.trigger is Trigger.GIVEN_UP:
                    self._dead.add(id_)
                    if not truth.poison:
                        self.fail("good_is_not_given_up", f"{_named(key)}: {transition.reason}")

    def troubled(self) -> None:
        """Observe a fault of the store or the process."""
        self.troubled_at = self._clock.elapsed()

    def replayed(self, key: Key) -> None:
        """Observe that a user sends the conversion again."""
        truth = self.truths[key]
        truth.first_doubt = truth.taken_at = None
        truth.replayed_at = self._clock.elapsed()

    def check_prompt(self, pixel: str) -> None:
        """Check a pixel without faults at X: X has everything received while nothing failed."""
        now = self._clock.elapsed()
        if now - self._pixels[pixel].poisoned_at < 2 * PROBE_EVERY:
            # This is the pixel's own fault: after five equal refusals in a row, it is only probed.
            return
        for key, truth in self.truths.items():
            at = truth.acknowledged_at
            waits = not truth.ever_taken and not truth.poison and not truth.suppressed
            if key[0] != pixel or at is None or not waits or now - at < PROMPT:
                continue
            if self.troubled_at < at - 10 * MINUTE:
                self.fail("others_are_prompt", f"{_named(key)} waits for {duration_text(now - at)}")

    def _check_shape(self, request: Request) -> None:
        events = {event for _, event, _ in request.keys}
        if len(events) != 1 or len(request.keys) > self._worker_config.batch:
            self.fail("one_event_a_request", f"{len(request.keys)} of {sorted(events)}")
        if len(set(request.keys)) < len(request.keys):
            self.fail("one_copy_at_a_time", "the same twice in one request")
        pixel = self._pixels[request.pixel]
        flying = [sent for sent in pixel.in_progress if sent.span is request.span]
        for sent in flying:
            self._note_slow(sent)
        is_alone = request.event not in {sent.event for sent in flying}
        if len(request.keys) == 1 and is_alone and request.at - pixel.slow_at <= _GOING:
            # While X is slow, each event may send one conversion.
            pixel.slow.update(request.keys)
        # A batch with a slow request does not count towards the limit of concurrent batches, within
        # bounds, until it ends.
        counted = [sent for sent in (*flying, request) if not pixel.slow.issuperset(sent.keys)]
        # Bad events use no slots of the others, and all together use at most twice the slots.
        healthy = [sent for sent in counted if not self._is_bad(sent)]
        slots = self._worker_config.in_flight
        # Nor does a batch of suspects hold the only slot, because it may need many requests.
        yields = slots == 1 and any(sent.is_suspected for sent in healthy if sent is not request)
        is_over = len(healthy) - yields > slots or len(counted) > 2 * slots
        if is_over or len(flying) >= MOST_IN_FLIGHT:
            self.fail("in_flight", f"{len(counted)} of {len(flying) + 1} for {request.pixel}")

    def _note_slow(self, request: Request) -> None:
        if self._clock.elapsed() - request.at >= MAY_HANG:
            pixel = self._pixels[request.pixel]
            pixel.slow.update(request.keys)
            pixel.slow_at = self._clock.elapsed()
            pixel.bad_until[request.event] = _FOREVER

    def _is_bad(self, request: Request) -> bool:
        """Whether X answers badly to the event of a request, or did so when it was claimed."""
        until = self._pixels[request.pixel].bad_until.get(request.event, -1)
        return self._clock.elapsed() <= until

    def _check_pace(self, request: Request) -> None:
        meter = self._meters[request.pixel]
        reset, reported_at, span = self._resets.get(meter, (0, 0, None))
        # Deliveries claimed before the response count as in flight.
        if request.at < reset - SECOND and request.at > reported_at + SECOND:
            if span is request.span:
                check = "not_before_reset"
            else:
                check, reset = "reset_outlives_process", self._noted.get(meter, 0)
            if request.at < reset - SECOND:
                self.fail(check, f"{request.pixel} asks {duration_text(reset - request.at)} early")
        sent = self._sent[meter]
        sent.append((request.at, len(request.keys)))
        while sent[0][0] <= request.at - RATE_WINDOW:
            sent.popleft()
        total = sum(many for _, many in sent)
        if total > self._rates[meter]:
            self.fail("rate", f"{total} in fifteen minutes for {meter}, not {self._rates[meter]}")

    def _check_probe(self, request: Request) -> None:
        pixel = self._pixels[request.pixel]
        last, pixel.last_sent = pixel.last_sent, request.at
        if pixel.refused_at is None or last is None or pixel.span is not request.span:
            return
        if pixel.refusals == 1 and len(request.keys) == 1:
            return  # the first refusal may be about one conversion; a second one decides
        if request.event not in pixel.refused_events and len(request.keys) == 1:
            return  # one request of each event shows whether X refuses the pixel
        if request.is_suspected and len(pixel.refused) <= MOST_IN_A_ROW:
            return  # a batch of suspects goes on, because their refusals do not count
        since = request.at - pixel.refused_at
        # Deliveries claimed before the refusal was stored may still leave.
        if _GOING < since < PROBE_EVERY - SECOND or (since > _GOING and len(request.keys) > 1):
            text = f"{request.pixel} asks with {len(request.keys)} after {since} ms"
            self.fail("one_probe_a_minute", text)

    def _check_copy(self, key: Key, body: bytes, now: int) -> None:
        truth = self.truths[key]
        if truth.body is None:
            truth.body = body
        elif truth.body != body:
            self.fail("same_body", f"{_named(key)}: {body!r} after {truth.body!r}")
        if truth.suppressed:
            self.fail("suppressed_is_not_sent", _named(key))
        if truth.settled_at is not None:
            self.fail("no_resend_after_success", _named(key))
        if truth.in_progress:
            check = "lease_outlives_jump" if truth.jumped else "one_copy_at_a_time"
            self.fail(check, f"{_named(key)} is under way already")
        for since in (truth.first_doubt, truth.taken_at):
            if since is not None and now - since > AMBIGUITY_WINDOW + _GRACE:
                self.fail("forty_hours", f"{_named(key)} again after {duration_text(now - since)}")
        heard = max(truth.first_heard or 0, truth.replayed_at or 0)
        if now - heard > PATIENCE + 15 * MINUTE:
            self.fail("seven_days", f"{_named(key)} after {duration_text(now - heard)}")
        truth.in_progress += 1

    def _check_successor(self, key: Key, truth: Truth, *, body: bytes) -> None:
        """Check a copy that took over a key: the old delivery was dead, not at X, and different."""
        if truth.delivery not in self._dead:
            self.fail("only_dead_is_corrected", f"{_named(key)} was not given up")
        if truth.first_doubt is not None or truth.taken_at is not None:
            self.fail("only_dead_is_corrected", f"X may have {_named(key)}")
        if truth.body == body:
            self.fail("only_dead_is_corrected", f"{_named(key)} is as it was")
        truth.body, truth.first_heard = None, truth.offered_at

    def _lands(self, request: Request, *, doubt: bool) -> None:
        if request.over:
            return
        request.over = True
        self._note_slow(request)
        self._pixels[request.pixel].in_progress.remove(request)
        for key in request.keys:
            truth = self.truths[key]
            truth.in_progress -= 1
            truth.jumped = truth.jumped and truth.in_progress > 0
            if doubt and truth.first_doubt is None:
                truth.first_doubt = request.at


def _named(key: Key) -> str:
    return "/".join(key)


def _ago(truth: Truth, now: int) -> str:
    return duration_text(now - (truth.taken_at or 0))
