"""Error codes and messages that X does not document, in the style of those it does.

[guess] unless noted: only status and code are reliable. The documented ones are in `x.spec`.
"""

from typing import Final

MISSING_PARAMETER: Final = "MISSING_PARAMETER"  # [doc FUND] the code; the sentence is X's elsewhere
EXCLUSIVE_PARAMETERS: Final = "EXCLUSIVE_PARAMETERS"  # [doc FUND] the code

REQUIRED: Final = '"{parameter}" is a required parameter'
NOT_JSON: Final = "The request body is not valid JSON"
NOT_AN_ARRAY: Final = 'Expected Array, got "{value}" for {parameter}'
EMPTY_BATCH: Final = "At least one conversion must be provided"
MIXED_EVENTS: Final = "All conversions of a request must have the same event_id"
NOT_POSITIVE: Final = "{parameter} ({value}) must be greater than 0"
NOT_A_CURRENCY: Final = "{parameter} ({value}) is not a valid currency"
NOT_AN_ADDRESS: Final = "{parameter} ({value}) is not a valid IP address"
NOT_ONE_OF: Final = "{parameter} ({value}) is not one of {choices}"
UNKNOWN_FIELD: Final = "{parameter} is not a known parameter"
EVENT_NAME_REFUSED: Final = "event_name ({value}) is not accepted"
TOO_OLD: Final = "{parameter} is too old"
TOO_FAR_AHEAD: Final = "{parameter} is in the future"
UNKNOWN_PIXEL: Final = "pixel_id ({value}) was not found"
RATE_LIMITED: Final = "Too many requests"
WRONG_METHOD: Final = "The method {value} is not allowed for this resource"
BODY_TOO_LARGE: Final = "The request body is too large"
TAG_NOT_FOUND: Final = "web_event_tag ({value}) was not found"
EXCLUSIVE: Final = "{parameter} cannot be used together"
WINDOWS_CROSSED: Final = "view_through_window ({value}) must not exceed click_window ({click})"
COULD_NOT_AUTHENTICATE: Final = "Could not authenticate you."  # api.x.com, with code 32
COULD_NOT_AUTHENTICATE_CODE: Final = 32
CALLBACK_REFUSED: Final = "Callback URL not approved for this client application."
CALLBACK_REFUSED_CODE: Final = 415
