"""Render the settings file that `twite init` writes: every key, with its meaning."""

import json
from collections.abc import Mapping
from typing import Final

from twite.config.secret_key import KEY_FILE


def rendered(
    *, pixel: str, events: Mapping[str, str], key_file: str, secret: str = f"file:{KEY_FILE}"
) -> str:
    """Return the text of a settings file."""
    pairs = ", ".join(f"{_text(name)} = {_text(event)}" for name, event in events.items())
    return (
        _TEMPLATE.replace("@PIXEL@", _text(pixel))
        .replace("@EVENTS@", f"{{ {pairs} }}")
        .replace("@KEY@", _text(f"file:{key_file}"))
        .replace("@SECRET@", _text(secret))
    )


def _text(text: str) -> str:
    """Spell a TOML string: JSON's spelling is valid, except for DEL."""
    return json.dumps(text).replace("\x7f", "\\u007f")


_TEMPLATE: Final = """\
# Settings of Twite. Lines that begin with "# " and a key show its default.
# Any value may be read from elsewhere: "env:NAME" from the environment, "file:PATH" from a file.
# TWITE_SERVER__LISTEN and the like override any key. `twite check` says whether all is well.

[server]
listen = "127.0.0.1:8080"
# Behind a proxy, set these two: the first-party address that browsers and servers see, and whose
# X-Forwarded-For is believed. /metrics then needs a key, and the console a trusted X-Forwarded-For:
# public_url = "https://t.shop.example"
# trusted_proxies = ["127.0.0.1/32"]
# A second address, for this machine alone, where both are open without:
# local_listen = "127.0.0.1:8081"
# max_body = "1MiB"
# receive_deadline = "30s"
# Opens /metrics, also to others than this machine:
# metrics_key = "env:TWITE_METRICS_KEY"
# Seals what is stored of signing in to X, and keys that did so before:
secret_key = @SECRET@
# former_secret_keys = []
# What templates sign with (hmacSha256), by id:
# hmac_keys = {}
# Requests a minute from one address, at the doors that pages use:
# browser_rate = 600

[store]
url = "sqlite:twite.db"
# How long a conversion id is remembered; never under 48 hours:
# dedup_window = "7d"
# How long bodies and identifiers of settled conversions are kept, the rest of them, and what is
# dead:
# keep_bodies = "72h"
# keep_lives = "30d"
# keep_dead = "30d"
# Room on the disk that is given up when it is full, so that deliveries go on:
# reserve = "16MiB"
# How many conversions may wait for the disk before new ones are refused with 429:
# queue = 20000

[x]
# api_url = "https://ads-api.x.com"
# oauth_url = "https://api.x.com"
# api_version = "12"
# Conversions in 15 minutes for each account; X's own answers may lower it:
# rate = 60000
# timeout = "15s"
# Conversions in a request, and requests in flight for each pixel:
# batch = 500
# in_flight = 4
# Where X reads restricted_data_use: "conversion", or "unsupported":
# restricted_data_use = "conversion"
# The app that you sign in to with twite login, from X's developer console:
# consumer_key = "env:X_CONSUMER_KEY"
# consumer_secret = "env:X_CONSUMER_SECRET"

# Who the gateway is to Google, for templates that call BigQuery, Firestore or getGoogleAuth: the
# file of a service account's key, or "metadata" on a machine of Google's.
# [google]
# credentials = "file:service-account.json"
# What GOOGLE_CLOUD_PROJECT means; else the key's own project:
# project = "shop-1"
# Takes the place of googleapis.com, for tests and emulators:
# api_url = "http://127.0.0.1:9099"

[alerts]
# Who is to hear of trouble: any address that takes JSON, Slack's and Mattermost's webhooks too.
# webhook = "env:TWITE_ALERT_WEBHOOK"
# What messages are signed with (Standard Webhooks):
# secret = "env:TWITE_ALERT_SECRET"
# Dead letters of a pixel, and free room for the store, from which on somebody is told:
# dead_letters = 10
# disk_free = "1GiB"

[console]
# From where people may open /console; anywhere else it is closed:
# networks = ["127.0.0.0/8", "::1/128"]
# Its https address, where it is another than public_url:
# url = "https://console.shop.example"
# How long a session lasts unused, and at most:
# idle = "30m"
# session = "12h"

# A server container of tags, as twite import writes it:
# [container]
# file = "container.toml"
# client_source = "shop"

[log]
# level = "info"       # debug, info, warning, error
# format = "text"      # or json

[[pixel]]
# Events Manager, the event source's id:
id = @PIXEL@
# Only for managing events:
# account = "18ce54d4x5t"
# What X may have already is sent again with the same id, which X drops; or held for a person:
# on_ambiguous = "resend"
# Amounts far from what an event is usually worth are shown; or held for a person, or not looked at:
# value_guard = "flag"   # or "hold", "off"; a source may say otherwise
# Events Manager, Install Pixel, Manual, Conversion API, Generate access token:
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
# Or nothing here, and twite login; or the keys of an app that X has approved for the Ads API. With
# both kinds, the pixel token goes first, and OAuth is asked when X refuses it:
# auth = { consumer_key = "env:X_CONSUMER_KEY", consumer_secret = "env:X_CONSUMER_SECRET", \
token = "env:X_TOKEN", token_secret = "env:X_TOKEN_SECRET" }
# Your name for each event, and X's id of it:
events = @EVENTS@

[[source]]
name = "shop"
# What your servers send as `Authorization: Bearer …`:
key = @KEY@
pixel = @PIXEL@
# Further pixels that a conversion may name:
# pixels = []
# Browsers allowed to post; they carry no key:
# origins = ["https://shop.example"]
# "required" sends nothing without consent to advertising:
# consent = "optional"
# What becomes of what is denied, unclear or missing; the defaults:
# consent_policy = { storage_denied = "suppress", user_data_denied = "suppress", \
personalization_denied = "restrict", us_opt_out = "suppress", unclear = "suppress", \
missing = "suppress", strict_regions = ["EEA", "GB", "CH"], tcf_purposes = [1, 7], \
tcf_optimization_purposes = [3, 4] }
# And in it what lists of vendors call X, where you know it:
# tcf_vendor_id = 1234, ac_provider_id = 1234, cmp_vendor = "x"
# How to read a phone number without a country code:
# region = "GB"
# What events of tags become, where the defaults do not know: one of the pixel's events, or ignore:
# events = { form_submit = "lead", scroll = "ignore" }
# What becomes of credentials that Stape's X tag sends along: configured, stored, passing:
# stape_credentials = "configured"
# Whether the script gives a conversion to X's pixel, too: use, load, off:
# twin = "use"
# The most that a page may say a conversion is worth:
# browser_value_limit = "500"
# How many requests all its pages together may make in an hour:
# browser_rate = 100000
# What keeps the click in the browser:
# cookie = { names = ["_twite"], days = 90, http_only = false, client_id = true }

# A client template of your own, which is asked before the doors for tags:
# [[client]]
# template = "own-format.tpl"
# name = "own format"
# source = "shop"
# priority = 0
# fields = { path = "/collect" }
# allow_hosts = []             # hosts it may reach though they have private addresses

# A tag template (.tpl) that hears the same events; its fields are the template's own:
# [[tag]]
# name = "crm"
# template = "crm.tpl"
# fields = { accessToken = "env:CRM_TOKEN", note = "{{event_name}}" }
# sources = []                 # none named are all
# events = ["purchase"]        # none named are all
# when = [{ field = "value", operator = "greater", value = "0", negate = false, \
ignore_case = false }]
# consent = ["ad_storage"]     # signals that must be granted
# repeat = "at_least_once"     # or at_most_once: what may have arrived is held for a person
# persons = "sealed"           # encrypted until the template gets it; or hashed, without phones
# timeout = "30s"
# rate = 60000
# in_flight = 8
# allow_hosts = []             # hosts that may have private addresses
"""
