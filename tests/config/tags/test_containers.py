"""Loading a server container from its files."""

import pytest

from poster_container import CONTAINER, TEMPLATE
from twite.domain.errors import SettingsError
from twite.tags.settings.containers import load_container, with_secrets


def put(folder, kept="env:TOKEN", template=TEMPLATE):
    (folder / "poster.tpl").write_text(template)
    file = folder / "container.toml"
    file.write_text(CONTAINER % kept)
    return file


def test_container_is_loaded_with_its_templates(tmp_path):
    container = load_container(put(tmp_path))

    assert {name: template.name for name, template in container.templates.items()} == {
        "Poster": "Poster"
    }


@pytest.mark.parametrize(
    ("kept", "secret"),
    [("env:TOKEN", "of the environment"), ("file:token", "of a file"), ("sealed:t", "sealed")],
)
def test_secret_of_a_container_is_read_from_its_location(tmp_path, kept, secret):
    (tmp_path / "token").write_text("of a file\n")
    file = put(tmp_path, kept)

    whole = with_secrets(
        load_container(file),
        path=file,
        environ={"TOKEN": "of the environment"},
        sealed={"t": "sealed"},
    )

    assert whole.tags[0].fields == {"token": secret}


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("env:NONE", "the environment variable 'NONE' is not set"),
        ("file:none", "the file 'none' cannot be read"),
        ("sealed:none", "the store has no secret 'none'"),
        ("s3cret", "a secret must be a reference"),
    ],
)
def test_missing_secret_of_a_container_is_named_and_not_shown(tmp_path, kept, said):
    file = put(tmp_path, kept)

    with pytest.raises(SettingsError, match=said) as refused:
        with_secrets(load_container(file), path=file, environ={}, sealed={})

    assert "s3cret" not in str(refused.value)


def test_wrong_container_is_explained_with_file_and_place(tmp_path):
    file = put(tmp_path)
    file.write_text(file.read_text().replace("All Events", "Some"))

    with pytest.raises(SettingsError, match=r"container.toml: tag\[0\].triggers\[0\]: there is no"):
        load_container(file)


def test_unreadable_template_of_a_container_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"poster.tpl, line 1"):
        load_container(put(tmp_path, template="nothing"))


def test_missing_container_file_suggests_twite_import(tmp_path):
    with pytest.raises(SettingsError, match="twite import"):
        load_container(tmp_path / "container.toml")


def test_variables_in_a_secret_are_checked_without_showing_it(tmp_path):
    file = put(tmp_path)

    with pytest.raises(
        SettingsError, match=r"tag\[0\].fields: the inserted secret refers to an unknown variable"
    ) as refused:
        with_secrets(
            load_container(file), path=file, environ={"TOKEN": "s3cret {{Nobody}}"}, sealed={}
        )

    assert "Nobody" not in str(refused.value)
