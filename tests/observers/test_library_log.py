"""Messages of Python and of libraries become lines of the log, without persons."""

import gc
import json
import logging
import threading
import warnings

import pytest

from twite.observers.library_log import library_messages
from twite.observers.log import LineLogger

EMAIL = "test@example.com"


class _Ending:
    def __del__(self):
        raise ValueError(EMAIL)


def fail():
    raise ValueError(EMAIL)


def log_exception():
    try:
        fail()
    except ValueError:
        logging.getLogger("asyncio").exception("a task failed: %s", EMAIL)


def in_a_thread():
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def in_a_destructor():
    _Ending()
    gc.collect()


def warn():
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(f"old: {EMAIL}", stacklevel=1)


@pytest.mark.parametrize(
    ("act", "event", "names"),
    [
        (log_exception, "message of a library", "ValueError"),
        (in_a_thread, "internal error", "ValueError"),
        (in_a_destructor, "internal error", "ValueError"),
        (warn, "message of a library", "py.warnings"),
    ],
)
def test_message_of_a_library_is_a_log_line_without_personal_data(capsys, act, event, names):
    with library_messages(LineLogger(level="info", as_json=True)):
        act()

    (text,) = capsys.readouterr().err.splitlines()
    assert json.loads(text)["event"] == event
    assert names in text
    assert EMAIL not in text


def test_logging_hooks_are_restored_afterwards():
    before = threading.excepthook, list(logging.getLogger().handlers)

    with library_messages(LineLogger(level="info", as_json=True)):
        pass

    assert (threading.excepthook, logging.getLogger().handlers) == before
