"""Consent calls of pages, Google's tag and consent platforms, as page scripts."""

from shop import ShopSite

GTAG = "window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments); }"
DENIED = "gtag('consent', 'default', {ad_storage: 'denied', ad_user_data: 'denied'});"
GRANTED = "gtag('consent', 'update', {ad_storage: 'granted', ad_user_data: 'granted'});"
BOTH = {"ad_storage": "granted", "ad_user_data": "granted"}
# A consent management platform whose signals and times the test sets.
TCF = """
  var hear = [];
  window.__tcfapi = (command, version, f) => { if (command === 'addEventListener') hear.push(f); };
  function tell(status, purposes, applies) {
    const consents = Object.fromEntries(purposes.map((each) => [each, true]));
    const said = {tcString: 'CP-a-string', eventStatus: status, gdprApplies: applies};
    hear.forEach((f) => f(Object.assign(said, {purpose: {consents}}), true));
  }
"""
# Another one, for the Global Privacy Platform, with signals by section.
GPP = """
  var listeners = [], ping = {gppString: 'DBAA', applicableSections: [], parsedSections: {}};
  ping.signalStatus = 'not ready';
  window.__gpp = (command, f) => {
    listeners.push(f);
    f({eventName: 'listenerRegistered', pingData: ping}, true);
  };
  function say(status, section, gppString, parsedSections) {
    ping = {gppString, applicableSections: [section], signalStatus: status, parsedSections};
    listeners.forEach((f) => f({eventName: 'signalStatus', data: status, pingData: ping}, true));
  }
"""
US = "say('ready', 7, 'DBABLA~CEAQAAAAAABA.QA', {usnat: %s})"
OUT = "{SaleOptOutNotice: 1, SaleOptOut: 1, SharingOptOut: 2}"
NOT_OUT = "{SaleOptOutNotice: 1, SaleOptOut: 2, SharingOptOut: 2}"
US_OF_OLD = """
  say('ready', 6, 'DBABTA~1YYN',
    {uspv1: {Version: 1, Notice: 'Y', OptOutSale: 'Y', LspaCovered: 'N'}})
"""
# Strings as @iabgpp/cmpapi 3.2.0 writes them, with these purposes.
EUROPE = {
    "none": "DBABMA~CQuSqEAQuSqEAAfAAAENB4FgAAAAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA",
    "1": "DBABMA~CQuSqEAQuSqEAAfAAAENB4FgAIAAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA",
    "1, 7": "DBABMA~CQuSqEAQuSqEAAfAAAENB4FgAIIAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA",
    "1, 3, 4, 7": "DBABMA~CQuSqEAQuSqEAAfAAAENB4FgALIAAAAAAAAAAAAAAAAA.IAAA.YAAAAAAAAAAA",
}
CANADA = {
    "2": "DBABDA~BQuUjPLQuUjPLAfAAAENB4CAAIAAAAAAAAAAAAAAAAA.YAAAAAAAAAA",
    "1, and 7 implied": "DBABDA~BQuUjPLQuUjPLAfAAAENB4CAAQAAAAQAAAAAAAAAAA.YAAAAAAAAAA",
}


def in_gpp(section: int, string: str, status: str = "ready") -> str:
    return f"say('{status}', {section}, '{string}', {{}});"


ICS = """
  window.google_tag_data = {ics: {
    entries: {ad_storage: {default: false}, ad_user_data: {default: false}},
    addListener(names, f) { this.f = f; }}};
"""
AGREED = """
  Object.values(google_tag_data.ics.entries).forEach((entry) => { entry.update = true; });
  google_tag_data.ics.f();
"""
REFUSED = AGREED.replace("true", "false")
GPC = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"


def a_page(site: ShopSite, head: str = "", source: str = "asking", **attributes: str) -> None:
    site.shop.page("/", "", head=f"<script>{head}</script>{site.tag(source, **attributes)}")
