"""Names of fields, as they are spelled by X, Google, Stape and the tags of others.

Names are compared in small letters, with `_` for what else may part their words.
"""

import re
from enum import StrEnum, auto
from functools import lru_cache
from typing import Final


class Kind(StrEnum):
    """What stands under a name."""

    PERSONAL = auto()  # whatever is below it
    PERSON = auto()  # a part of who somebody is
    TOKEN = auto()  # what tells one person or browser from others
    CLICK = auto()  # X's own click id, and what X's script knows a browser by
    SECRET = auto()
    ADDRESS = auto()  # of a machine: a list of them, too
    AGENT = auto()
    COOKIES = auto()
    HEADERS = auto()
    QUERY = auto()
    PATH = auto()
    BODY = auto()  # of a request, as text
    PLAIN = auto()  # an id, long as it may be
    ANY = auto()


def spelled(name: str) -> str:
    """Return a name as it is compared: `userData` and `User-Data` are `user_data`."""
    return _PARTED.sub("_", _HUMP.sub(r"\1_\2", name[:_LONGEST])).lower().strip("_")


def kind_of(name: str) -> Kind:
    """Return what stands under a name. A name with dots is that of something deeper."""
    return _kind_of(name[-_LONGEST:])


@lru_cache(maxsize=4_096)
def _kind_of(name: str) -> Kind:
    found = Kind.ANY
    for part in name.split("."):
        found = _kind(spelled(part))
        if found is Kind.PERSONAL:
            return found
    return found


def _kind(name: str) -> Kind:
    known = _KNOWN.get(name) or _KNOWN.get(name.replace("_", ""))
    if known is not None:
        return known
    if name.startswith("x_ga_"):
        # What Google's container puts beside an event; few of it says nothing about a browser.
        return Kind.PLAIN if name in _PLAIN_OF_GOOGLE else Kind.TOKEN
    for kind, pattern in _LOOKS:
        if pattern.search(name):
            return kind
    return Kind.ANY


def is_well_known(name: str) -> bool:
    """Return whether a name is one of Google's, however much it looks like a token."""
    return name.lower() in _OF_GOOGLE


def is_harmless_header(name: str) -> bool:
    """Return whether a header's value may be shown, by its name."""
    return name.strip().lower() in _HEADERS


def is_harmless_parameter(name: str) -> bool:
    """Return whether the value of a parameter of an address may be shown, by its name."""
    return name.strip().lower() in _PARAMETERS


_LONGEST: Final = 80
_HUMP: Final = re.compile(r"([a-z0-9])([A-Z])")
_PARTED: Final = re.compile(r"[^A-Za-z0-9]+")
_KINDS: Final[dict[Kind, str]] = {
    Kind.PERSONAL: """
        user_data user_properties user_property user_info user_provided_data customer person
        persons people profile contact address addresses billing shipping billing_address
        shipping_address traits recipient subscriber buyer shopper visitor
        customer_data customer_properties match_keys enhanced_conversion_data
        """,
    Kind.PERSON: """
        em ph fn ln mail mobile cell first_name last_name full_name given_name surname family_name
        middle_name maiden_name nickname street street_address address_line address1 address2
        line1 line2 ct st city town zip zipcode zip_code postal_code postcode birthday birthdate
        birth_date date_of_birth dob db gender ge iban ssn
        """,
    Kind.TOKEN: """
        fbp fbc fbclid gclid gclsrc wbraid gbraid dclid ttclid ttp msclkid li_fat_id rdt_cid
        rdt_uuid sc_cid sccid sc_click_id epik irclickid ga gid gac gcl_au gcl_aw fpid fplc scid
        clickid click_id cid uid sid client_id user_id session_id ga_session_id external_id
        visitor_id device_id user_pseudo_id anonymous_id customer_id member_id person_id
        subscriber_id contact_id lead_id advertising_id idfa idfv gaid maid aaid installation_id
        app_instance_id stape_id browser_id hash fingerprint login_id
        """,
    Kind.CLICK: "twclid twpid tw_clid",
    Kind.SECRET: "key sealed sig authorization proxy_authorization bearer pin otp cvv cvc pan",
    Kind.ADDRESS: """
        ip ips ip_address ip_override client_ip client_ip_address user_ip remote_address
        remote_addr uip x_forwarded_for x_real_ip forwarded cf_connecting_ip true_client_ip
        """,
    Kind.AGENT: "user_agent client_user_agent useragent ua",
    Kind.COOKIES: "cookie cookies set_cookie common_cookie",
    Kind.HEADERS: "headers request_headers response_headers",
    Kind.QUERY: "query query_string request_query search_params",
    Kind.PATH: "path request_path",
    Kind.BODY: "body request_body post_body post_data raw_body",
    Kind.PLAIN: """
        conversion_id event event_id event_name id item_id content_id sku order_id pixel pixel_id
        policy receipt transaction_id unique_event_id
        """,
}  # fmt: skip
_KNOWN: Final = {name: kind for kind, names in _KINDS.items() for name in names.split()}
# What a name tells by a part of it, the worst first.
_LOOKS: Final = (
    (
        Kind.SECRET,
        re.compile(r"secret|passw|passcode|api_?key|auth(?!or)|token|signature|credential|bearer"),
    ),
    (Kind.COOKIES, re.compile(r"cookie")),
    (Kind.PERSON, re.compile(r"e_?mail|phone|mobile_number|hashed_|sha_?256|_name_of_user")),
    (Kind.CLICK, re.compile(r"^tw_?clid|^twpid")),
    (Kind.TOKEN, re.compile(r"clid$|click_id|clickid|client_id|user_id|visitor_id|device_id|uuid")),
    (Kind.ADDRESS, re.compile(r"ip_addr")),
    (Kind.AGENT, re.compile(r"user_agent")),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN_OF_GOOGLE: Final = _words(
    """
    x_ga_protocol_version x_ga_measurement_id x_ga_gtm_version x_ga_request_count x_ga_gcs
    x_ga_gcd x_ga_npa x_ga_dma x_ga_dma_cps x_ga_mp1_pa x_ga_mp1_tr x_ga_mp1_ev
    x_ga_system_properties
    """
)
_OF_GOOGLE: Final = _words(
    """
    sha256_email_address sha256_phone_number sha256_first_name sha256_last_name sha256_street
    x-ga-mp2-user_properties
    """
)
_HEADERS: Final = _words(
    """
    accept accept-encoding accept-language cache-control content-encoding content-length
    content-type date host retry-after server
    """
)
_PARAMETERS: Final = _words(
    """
    color currency cu en event hl lang language page per_page q_count quantity size sort tid
    utm_campaign utm_content utm_medium utm_source utm_term v value variant version
    """
)
