"""Facts about X's metrics: names, groups, entities, limits. [doc] unless noted."""

from collections.abc import Mapping
from typing import Final

ENTITIES: Final = (
    "ACCOUNT",
    "CAMPAIGN",
    "FUNDING_INSTRUMENT",
    "LINE_ITEM",
    "PROMOTED_ACCOUNT",
    "PROMOTED_TWEET",
)
# The error code of an id that does not exist. [doc FUND for the codes, guess for their use here]
ENTITY_NOT_FOUND: Final[Mapping[str, str]] = {
    "CAMPAIGN": "CAMPAIGN_NOT_FOUND",
    "FUNDING_INSTRUMENT": "FUNDING_INSTRUMENT_NOT_FOUND",
    "LINE_ITEM": "LINE_ITEM_NOT_FOUND",
    "PROMOTED_ACCOUNT": "PROMOTED_ACCOUNT_NOT_FOUND",
    "PROMOTED_TWEET": "PROMOTED_TWEET_NOT_FOUND",
}
GRANULARITIES: Final = ("DAY", "HOUR", "TOTAL")
PLACEMENTS: Final = ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")
LEGACY_PLACEMENT: Final = "PUBLISHER_NETWORK"  # accepted, without figures
ENGAGEMENT: Final = (
    "engagements",
    "impressions",
    "retweets",
    "replies",
    "likes",
    "follows",
    "card_engagements",
    "clicks",
    "app_clicks",
    "url_clicks",
    "qualified_impressions",
    "carousel_swipes",
)
BILLING: Final = ("billed_engagements", "billed_charge_local_micro")
# By type of the event. SUBSCRIBE and LANDING_PAGE_VIEW: [guess] from the names of the metrics. The
# types START_TRIAL and PRODUCT_CUSTOMIZATION have no metric.
CONVERSION_METRICS: Final[Mapping[str, str]] = {
    "PURCHASE": "conversion_purchases",
    "SIGN_UP": "conversion_sign_ups",
    "SITE_VISIT": "conversion_site_visits",
    "DOWNLOAD": "conversion_downloads",
    "CUSTOM": "conversion_custom",
    "ADD_TO_CART": "conversion_add_to_carts",
    "CHECKOUT_INITIATED": "conversion_checkouts_initiated",
    "CONTENT_VIEW": "conversion_content_views",
    "ADDED_PAYMENT_INFO": "conversion_payment_info_additions",
    "ADD_TO_WISHLIST": "conversion_add_to_wishlists",
    "SEARCH": "conversion_searches",
    "LANDING_PAGE_VIEW": "conversion_landing_page_views",
    "SUBSCRIBE": "conversion_subscriptions",
}
# Those that the table of metrics offers by PLATFORMS, but not by CONVERSION_TAGS.
UNTAGGED: Final = (
    "conversion_purchases",
    "conversion_sign_ups",
    "conversion_site_visits",
    "conversion_downloads",
    "conversion_custom",
)
# The metrics of VIDEO and of the mobile groups are not emulated.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "BILLING": BILLING,
    "ENGAGEMENT": ENGAGEMENT,
    "LIFE_TIME_VALUE_MOBILE_CONVERSION": (),
    "MOBILE_CONVERSION": (),
    "VIDEO": (),
    "WEB_CONVERSION": tuple(CONVERSION_METRICS.values()),
}
# Entities that do not have all groups.
GROUPS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "ACCOUNT": ("ENGAGEMENT",),
    "FUNDING_INSTRUMENT": ("ENGAGEMENT", "BILLING"),
}
# The values are [guess], except that METROS are Nielsen's numbers.
SEGMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "PLATFORMS": ("Android", "iOS", "Desktop and laptop computers"),
    "AGE": ("AGE_18_TO_24", "AGE_25_TO_34", "AGE_35_TO_49", "AGE_OVER_50"),
    "GENDER": ("Female", "Male", "Unknown"),
    "METROS": ("501", "803", "819"),
    "CONVERSION_TAGS": (),  # one for each event of the account
}
MAX_ENTITY_IDS: Final = 20
SYNC_DAYS: Final = 7
JOB_DAYS: Final = 90
SEGMENTED_DAYS: Final = 45
ACTIVE_DAYS: Final = 90
MAX_JOB_IDS: Final = 200
# Per account and 15 minutes. [doc FUND rate-limiting]
ENTITY_READS: Final = 10_000
OTHER_READS: Final = 2_000
COUNTED_READS: Final = 200  # with_total_count
# Per user and minute. [doc FUND rate-limiting]
WRITES: Final = 450
WRITE_SECONDS: Final = 60
LOCKED_AFTER: Final = 24 * 3600  # seconds
SPEND_FINAL_AFTER: Final = 3 * 24 * 3600
