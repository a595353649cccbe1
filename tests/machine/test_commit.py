import subprocess

from twite.machine import commit as module
from twite.machine.commit import checked_out, commit


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(folder), *words]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def checkout(folder):
    git(folder, "init", "--quiet")
    (folder / "file").write_text("one")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message=one")
    return git(folder, "rev-parse", "HEAD")[:12]


def test_version_of_a_checkout_names_its_commit(tmp_path):
    assert checked_out(tmp_path) is None

    assert checkout(tmp_path) == checked_out(tmp_path)


def test_version_of_a_changed_checkout_says_so(tmp_path):
    found = checkout(tmp_path)
    (tmp_path / "file").write_text("two")

    assert checked_out(tmp_path) == f"{found}-dirty"


def test_folder_inside_another_repository_has_no_commit(tmp_path):
    checkout(tmp_path)
    (tmp_path / "lib").mkdir()

    assert checked_out(tmp_path / "lib") is None


def test_commit_is_unknown_without_git(tmp_path, monkeypatch):
    checkout(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert checked_out(tmp_path) is None


def test_package_names_the_commit_it_was_built_from(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "twite"
    monkeypatch.setattr(module, "__file__", str(package / "machine" / "commit.py"))
    package.mkdir(parents=True)
    assert commit() is None

    (package / "commit.txt").write_text("1a2b3c4d5e6f\n")
    assert commit() == "1a2b3c4d5e6f"
