import io


def test_login_at_the_emulator_refuses_a_pixel_token(command, tmp_path, monkeypatch):
    path = tmp_path / "twite.toml"
    path.write_text(
        """\
[server]
listen = "127.0.0.1:0"
secret_key = "file:twite.secret"
[x]
emulator = "127.0.0.1:8081"
[[pixel]]
id = "o8z6j"
events = { purchase = "o8z6k" }
[[source]]
name = "shop"
key = "env:TWITE_SHOP_KEY"
pixel = "o8z6j"
"""
    )
    secret = tmp_path / "twite.secret"
    secret.write_text("a" * 64)
    secret.chmod(0o600)
    monkeypatch.setattr("sys.stdin", io.StringIO("a-token\n"))

    code, _, err = command("login", "--pixel", "o8z6j", "--pixel-token", "--config", str(path))

    assert code == 1
    assert "needs no pixel token, because the settings send to the emulator" in err
    assert "contains a pixel token" not in err
