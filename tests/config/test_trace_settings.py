"""The table `[traces]`."""

import pytest

from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from written import GOOD, read


def test_traces_are_off_by_default(tmp_path):
    assert read(tmp_path).traces.endpoint is None


def test_trace_headers_may_come_from_the_environment(tmp_path):
    table = 'endpoint = "env:COLLECTOR"\nheaders = { api-key = "env:COLLECTOR_KEY" }'
    environ = {"COLLECTOR": "https://otlp.example/", "COLLECTOR_KEY": "a-key"}

    traces = read(tmp_path, f"{GOOD}\n[traces]\n{table}\n", environ).traces

    assert (traces.endpoint, traces.headers) == (
        "https://otlp.example",
        {"api-key": Secret("a-key")},
    )


def test_secret_trace_header_over_http_is_a_warning(tmp_path):
    text = f'{GOOD}\n[traces]\nendpoint = "http://otlp.example"\nheaders = {{ key = "env:K" }}\n'

    assert any("unencrypted" in warning for warning in read(tmp_path, text, {"K": "k"}).warnings)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('endpoint = "127.0.0.1:4318"', "traces.endpoint: not an http or https URL"),
        ('endpoint = "http://user:word@otlp.example"', "contains a user name or a password"),
        ("one_in = 0", "traces.one_in: 0 is out of range"),
    ],
)
def test_wrong_trace_setting_is_named(tmp_path, line, said):
    with pytest.raises(SettingsError) as error:
        read(tmp_path, f"{GOOD}\n[traces]\n{line}\n")

    assert said in str(error.value)
