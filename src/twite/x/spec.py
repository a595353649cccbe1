"""Facts about X's Conversion API, and nothing else: paths, names, limits, codes, messages.

How certain a fact is: [doc] X documents it; [seen] found in other senders' code or traffic; [guess]
inferred. Where X documents nothing, the emulator has a switch, and the gateway behaves so that it
is right in either case.

Sources:
    WEB   docs.x.com/x-ads-api/measurement/web-conversions
          (xdevplatform/docs, x-ads-api/measurement/web-conversions.mdx, commit b702cd85:
          the last complete one)
    GTM   docs.x.com/x-ads-api/measurement/gtm-server-side
    FUND  xdevplatform/docs, x-ads-api/fundamentals, commit 28713281
    OA    xdevplatform/docs, fundamentals/authentication/oauth-1-0a, commit 28713281
    ST    stape-io/twitter-tag, commit 3ec4a11
    RS    rudderlabs/rudder-transformer, src/v0/destinations/twitter_ads
    GH    issues of public SDKs (twitter-php-ads-sdk#24, twurl#66, twitter-ruby-ads-sdk#239)
"""

from typing import Final

# --- where ---------------------------------------------------------------------------------------

API_URL: Final = "https://ads-api.x.com"  # [doc WEB]
OAUTH_URL: Final = "https://api.x.com"  # [doc OA]
VERSIONS: Final = ("12", "11")  # [doc FUND versioning] both live, no end announced
VERSION: Final = VERSIONS[0]
CONVERSIONS_PATH: Final = "/{version}/measurement/conversions/{pixel_id}"  # [doc WEB, GTM]
ACCOUNTS_PATH: Final = "/{version}/accounts"  # [doc CM]
ACCESS_PATH: Final = "/{version}/accounts/{account_id}/authenticated_user_access"  # [doc CM]
REQUEST_TOKEN_PATH: Final = "/oauth/request_token"  # noqa: S105  a path [doc OA]
AUTHORIZE_PATH: Final = "/oauth/authorize"  # [doc OA]
ACCESS_TOKEN_PATH: Final = "/oauth/access_token"  # noqa: S105  a path [doc OA]
INVALIDATE_TOKEN_PATH: Final = "/1.1/oauth/invalidate_token.json"  # noqa: S105  a path [doc OA]
OUT_OF_BAND: Final = "oob"  # the callback value for a PIN [doc OA]

# --- requests ----------------------------------------------------------------------------------

PIXEL_TOKEN_HEADER: Final = "X-Pixel-Token"  # noqa: S105  a header's name [doc GTM]
OAUTH_SIGNATURE_METHOD: Final = "HMAC-SHA1"  # [doc OA]
OAUTH_VERSION: Final = "1.0"  # [doc OA]
OAUTH_PARAMETERS: Final = (  # [doc FUND, OA] exactly these seven
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
    "oauth_token",
    "oauth_version",
)
# X refuses stale timestamps but does not say how stale. [guess]
OAUTH_WINDOW_SECONDS: Final = 300

# --- limits ------------------------------------------------------------------------------------

MAX_CONVERSIONS: Final = 500  # per request [doc WEB]
RATE_WINDOW_SECONDS: Final = 900

ACCOUNT_RATE_REMAINING: Final = "x-account-rate-limit-remaining"
ACCOUNT_RATE_RESET: Final = "x-account-rate-limit-reset"
USER_RATE_REMAINING: Final = "x-rate-limit-remaining"
USER_RATE_RESET: Final = "x-rate-limit-reset"  # epoch seconds
CURRENT_VERSION_HEADER: Final = "x-current-api-version"

# --- the body ------------------------------------------------------------------------------------

RESTRICTED_DATA_USE: Final = ("restrict_optimization", "off")  # [doc RDU]

# --- responses ------------------------------------------------------------------------------

# Error codes of this endpoint, and general ones that occur with it. [doc WEB, FUND]
INVALID_PARAMETER: Final = "INVALID_PARAMETER"
NOT_FOUND: Final = "NOT_FOUND"
ROUTE_NOT_FOUND: Final = "ROUTE_NOT_FOUND"
METHOD_NOT_ALLOWED: Final = "METHOD_NOT_ALLOWED"
UNAUTHORIZED_ACCESS: Final = "UNAUTHORIZED_ACCESS"
UNAUTHORIZED_CLIENT_APPLICATION: Final = "UNAUTHORIZED_CLIENT_APPLICATION"
TOO_MANY_REQUESTS: Final = "TOO_MANY_REQUESTS"
INTERNAL_ERROR: Final = "INTERNAL_ERROR"
SERVICE_UNAVAILABLE: Final = "SERVICE_UNAVAILABLE"
WEB_EVENT_TAG_NOT_FOUND: Final = "WEB_EVENT_TAG_NOT_FOUND"
ADS_NOT_FOUND: Final = frozenset(
    {"CAMPAIGN_NOT_FOUND", "LINE_ITEM_NOT_FOUND", "FUNDING_INSTRUMENT_NOT_FOUND"}
)

# The exact messages, [doc WEB] unless noted. Words in braces are replaced, for example by the
# refused value.
NO_IDENTIFIER: Final = "At least one user identifier must be provided"
NOT_A_HASH: Final = "{parameter} ({value}) is not a valid SHA-256 hash"
NOT_A_TIME: Final = 'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "{value}" for {parameter}'
NOT_AN_EVENT: Final = "event_id ({event_id}) is not a single event tag (SET)"
FOREIGN_EVENT: Final = "event_id ({event_id}) does not belong to provided account"
EVENT_MISSING: Final = "Event ID was not found"
TOO_MANY_CONVERSIONS: Final = "Conversion count limit is 500"
NO_ROUTE: Final = "The requested resource could not be found"
NOT_AUTHENTICATED: Final = "This request is not properly authenticated"  # [seen GH]
# X's family of type errors; its exact words for a double are not documented. [guess]
WRONG_TYPE: Final = 'Expected {type}, got "{value}" for {parameter}'

# --- web event tags (Events Manager) -------------------------------------------------------------

EVENT_TAG_TYPES: Final = (
    "ADDED_PAYMENT_INFO",
    "ADD_TO_CART",
    "ADD_TO_WISHLIST",
    "CHECKOUT_INITIATED",
    "CONTENT_VIEW",
    "CUSTOM",
    "DOWNLOAD",
    "PRODUCT_CUSTOMIZATION",
    "PURCHASE",
    "SEARCH",
    "SIGN_UP",
    "SITE_VISIT",
    "START_TRIAL",
    "SUBSCRIBE",
)
CLICK_WINDOWS: Final = (1, 7, 14, 30)  # days
VIEW_WINDOWS: Final = (0, 1, 7, 14, 30)  # days; never more than the click window
MANAGING_ROLES: Final = ("ACCOUNT_ADMIN", "AD_MANAGER")  # [doc WEB, FUND]
