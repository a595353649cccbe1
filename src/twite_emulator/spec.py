"""Facts about X's Conversion API, and nothing else: paths, names, limits, codes, messages.

How certain a fact is: [doc] X documents it; [seen] found in other senders' code or traffic; [guess]
inferred. Where X documents nothing, the emulator has a switch, and the gateway behaves so that it
is right in either case. The gateway has its own module of facts: the emulator judges alone.

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

VERSIONS: Final = ("12", "11")  # [doc FUND versioning] both live, no end announced
VERSION: Final = VERSIONS[0]

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
# X's pages contradict each other (60,000 events; 60,000 requests; 100,000 requests of 500 events).
# This is the strictest limit, in conversions per account. [doc WEB guide, GTM]
RATE_LIMIT: Final = 60_000
RATE_WINDOW_SECONDS: Final = 900
DEDUP_WINDOW_SECONDS: Final = 48 * 3600  # both copies must arrive within it [doc WEB, GTM]

# Account headers take precedence; X documents them only for GET. [doc FUND rate-limiting]
ACCOUNT_RATE_LIMIT: Final = "x-account-rate-limit-limit"
ACCOUNT_RATE_REMAINING: Final = "x-account-rate-limit-remaining"
ACCOUNT_RATE_RESET: Final = "x-account-rate-limit-reset"
USER_RATE_LIMIT: Final = "x-rate-limit-limit"
USER_RATE_REMAINING: Final = "x-rate-limit-remaining"
USER_RATE_RESET: Final = "x-rate-limit-reset"  # epoch seconds
CURRENT_VERSION_HEADER: Final = "x-current-api-version"

# --- the body ------------------------------------------------------------------------------------

CONVERSION_FIELDS: Final = (
    "conversion_time",  # [doc WEB] ISO 8601 with a zone
    "conversion_timestamp",  # [seen OFF, ST] Unix milliseconds, the alternative
    "event_id",  # [doc WEB] base-36, or tw-{pixel}-{event}
    "event_name",  # [doc GTM] gtm_… only
    "identifiers",  # [doc WEB]
    "conversion_id",  # [doc WEB]
    "value",  # [doc WEB] a double, sent as a string with decimals
    "price_currency",  # [doc WEB] ISO 4217
    "number_items",  # [doc WEB] integer > 0
    "description",  # [doc WEB]
    "search_string",  # [seen ST]
    "event_source_url",  # [doc WEB prose]
    "contents",  # [doc WEB]
    "restricted_data_use",  # [doc RDU for the name, guess for the place]
)
DEFAULT_CURRENCY: Final = "USD"  # of price_currency [doc WEB]
IDENTIFIER_FIELDS: Final = (
    "twclid",
    "hashed_email",
    "hashed_phone_number",
    "ip_address",
    "user_agent",
    "twpid",  # [guess] only other senders name this key
)
# One of these is enough alone; ip_address and user_agent only as a pair. [doc WEB]
STRONG_IDENTIFIERS: Final = ("twclid", "hashed_email", "hashed_phone_number")
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
OVER_CAPACITY: Final = "OVER_CAPACITY"
WEB_EVENT_TAG_NOT_FOUND: Final = "WEB_EVENT_TAG_NOT_FOUND"

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
NO_ACCOUNT_ACCESS: Final = (
    "User {user_id} does not have access to account {account_id}. Type 'sn {user_id}' to get the "
    "handle of the user. Use 'twurl accounts' and 'twurl set default <username>' to change the "
    "user you're using."
)
NO_API_ACCESS: Final = (
    "The client application with id {app_id} making this request does not have access to X Ads "
    "API. Ensure your application has advertiser-api access. Use 'twurl accounts' and 'twurl set "
    "default <username> <key>' to change the application you're using."
)
NOT_AUTHENTICATED: Final = "This request is not properly authenticated"  # [seen GH]
# X's family of type errors; its exact words for a double are not documented. [guess]
WRONG_TYPE: Final = 'Expected {type}, got "{value}" for {parameter}'
INVALID_TOKEN: Final = "Invalid or expired token."  # noqa: S105  X's words on api.x.com [doc OA]
INVALID_TOKEN_CODE: Final = 89

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
