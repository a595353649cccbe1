"""The emulator's replacement for X's pixel script, without a browser (see also tests/browser)."""

from x_requests import ADS, a_judge

from twite_emulator.exchange import XRequestReceived


def a_get(path, *, method="GET"):
    return XRequestReceived(method=method, url=ADS + path, path=path, headers={})


def test_pixel_script_is_served_as_javascript():
    answer = a_judge().answer(a_get("/uwt.js")).answer

    assert (answer.status, dict(answer.headers)["content-type"], b"twq.exe" in answer.body) == (
        200,
        "text/javascript; charset=utf-8",
        True,
    )


def test_pixel_script_cannot_be_posted_to():
    assert a_judge().answer(a_get("/uwt.js", method="POST")).answer.status == 404
