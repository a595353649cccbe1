"""Valid settings as text, for tests that change them in one place at a time."""

from pathlib import Path

from twite.config.settings import Settings, load
from twite.domain.errors import SettingsError

ENVIRONMENT = {
    "X_PIXEL_TOKEN": "emulator-pixel-token-o8z6j",
    "TWITE_SHOP_KEY": "a-key-that-nobody-will-guess",
}
GOOD = """\
[server]
listen = "127.0.0.1:8080"
public_url = "https://t.shop.example"
trusted_proxies = ["127.0.0.1/32"]

[store]
url = "sqlite:twite.db"

[x]
api_url = "https://ads-api.x.com"
oauth_url = "https://api.x.com"
api_version = "12"

[[pixel]]
id = "o8z6j"
account = "18ce54d4x5t"
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
events = { purchase = "o8z6k", sign_up = "tw-o8z6j-o8z6m" }

[[source]]
name = "shop"
key = "env:TWITE_SHOP_KEY"
origins = ["https://shop.example"]
pixel = "o8z6j"
consent = "optional"
region = "GB"
"""


def write(folder: Path, text: str = GOOD) -> Path:
    path = folder / "twite.toml"
    path.write_text(text)
    return path


def read(
    folder: Path, text: str = GOOD, environ: dict[str, str] | None = None, **more: bool
) -> Settings:
    return load(write(folder, text), ENVIRONMENT | (environ or {}), **more)


def complaint(folder: Path, text: str = GOOD, environ: dict[str, str] | None = None) -> str:
    """Return the error message for these settings."""
    try:
        read(folder, text, environ)
    except SettingsError as error:
        return str(error)
    return "no error"
