"""Stored and exported words are enum values, so that classes and members can be renamed."""

import ast
from pathlib import Path

import msgspec
import pytest

from twite.domain.alert import AlertKind, AlertPhase
from twite.domain.consent import ConsentAction
from twite.domain.delivery import State, Trigger
from twite.domain.outcome import AttemptOutcome, Delivered, Errored, Rejected, RejectionScope
from twite.domain.people.users import AuditAction, Change, KeyScope, Result, Role
from twite.domain.stats.deduplication import DedupPath
from twite.domain.stats.tally import Counting
from twite.domain.stats.value_guard import UnusualAmount, ValueGuard
from twite.domain.submission import Endpoint, NotFiredReason
from twite.formats.beacon.shape import PixelCall
from twite.gateway.ports.events import ProblemPlace
from twite.gateway.ports.findings import CheckStatus

SOURCES = Path(__file__).parents[2] / "src/twite"


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Delivered(debug_id=""), "delivered"),
        (Errored(reason="", ambiguous=False), "errored"),
        (Rejected(scope=RejectionScope.SIZE, reason=""), "rejected"),
    ],
)
def test_outcome_is_stored_as_its_enum_value(outcome, word):
    assert outcome.kind is AttemptOutcome(word)


def test_user_changes_keep_their_names_on_the_control_channel():
    tags = {kind.__struct_config__.tag for kind in Change.__args__}

    assert tags == {
        *("Added", "Removed", "Allowed", "PasswordGiven"),
        *("CodesBegun", "CodesEnded", "KeyMade", "KeyRevoked", "LinkMade"),
    }
    assert all(msgspec.inspect.type_info(kind).tag_field == "type" for kind in Change.__args__)


def classes_with_stored_words(word):
    """Yield the classes that contain stored words, each with its path."""
    for path in SOURCES.rglob("*.py"):
        text = path.read_text("utf-8")
        if word in text:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef):
                    yield path.relative_to(SOURCES), node


def test_no_enum_derives_its_values_from_member_names():
    taken = [
        f"{path}: {found.name}"
        for path, found in classes_with_stored_words("auto")
        if any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in found.bases)
        for node in ast.walk(found)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "auto"
    ]

    assert taken == []


def test_no_serialized_union_is_tagged_by_class_names():
    reported = [
        f"{path}: {found.name}"
        for path, found in classes_with_stored_words("tag=True")
        for given in found.keywords
        if given.arg == "tag"
        and isinstance(given.value, ast.Constant)
        and given.value.value is True
    ]

    assert reported == []


# Stored, in settings, or in answers and metrics. Words may be added, but never changed.
WORDS = {
    State: "queued sending delivered held dead suppressed",
    Trigger: "claimed delivered postponed given_up held expired withdrawn not_fired replayed "
    "recalled discarded",
    AttemptOutcome: "delivered errored rejected",
    RejectionScope: "conversion size event pixel unclear",
    Endpoint: "native x_api beacon ga4 measurement_protocol data_tag sgtm stape tag client",
    AlertKind: "credentials_refused pixel_paused event_paused dead_letters conversions_held "
    "deadline_risk source_silent balance_residue store_failing store_unusable store_restored "
    "weak_durability disk_nearly_full template_hung clock_wrong webhook_silent sync_failing "
    "sync_silent export_failing export_silent event_failing event_limited paused_by_user "
    "account_limited",
    AlertPhase: "opened still_open resolved",
    Role: "viewer operator admin",
    KeyScope: "accounting history deduplication metrics",
    Result: "done over taken gone last otherwise",
    DedupPath: "pixel blocked page server",
    Counting: "kit flaw flagged held",
    UnusualAmount: "zero minor_units outlier currency",
    ValueGuard: "off flag hold",
    ConsentAction: "send restrict strip hold suppress",
    NotFiredReason: "paused consent trigger exception beside unfilled",
    PixelCall: "loaded called blocked absent",
    CheckStatus: "passed warning failed",
}


@pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind.__name__)
def test_stored_enum_keeps_its_values(kind):
    assert set(WORDS[kind].split()) <= {member.value for member in kind}


def test_audit_actions_keep_their_values():
    assert {action.value for action in AuditAction} == {
        *("problem.mute", "problem.unmute", "replay.cancel", "alert.mute", "alert.test"),
        "alert.acknowledge",
        *("user.add", "user.role", "user.password", "user.codes_on", "user.codes_off"),
        *("user.remove", "key.add", "key.revoke", "sign_in", "sign_in.refused", "sign_out"),
        *("sign_out.elsewhere", "confirm.refused", "refused", "connect.begin", "connect.paste"),
        *("connect.done", "connect.forget", "event.create", "event.update", "event.delete"),
        *("event.map", "pixel.pause", "pixel.resume", "conversion.test", "replay", "discard"),
        *("erase", "export", "doctor", "container.keep_secrets", "container.forget_secrets"),
        *("secret_key.rotate", "tag.preview", "user.link", "reload", "source.test"),
        *("source_key.add", "source_key.revoke"),
    }


def test_problem_metric_keeps_its_labels():
    assert {place.value for place in ProblemPlace} == {
        *("audit", "balance", "batch", "connections", "consent", "console", "engines", "ledger"),
        *("alerts", "tag credentials", "log", "outbox", "pruning", "store", "sweep", "sync"),
        *("tag", "traces", "vault", "export", "results", "value table", "webhook", "worker"),
        "X's route",
        "rate limit",
    }
