import msgspec

from openapi_document import FOLDER, document, rendered
from twite.domain.stats.deduplication import MOST_DAYS
from twite.formats.parsed_request import Many, Native, NativeContent
from twite.formats.x_api.read import XContent, XConversion, XIdentifier, XRequest
from twite.gateway.operations.dedup_report import DEFAULT_DAYS
from twite.gateway.ports.listing import ListedState
from twite.http.routes.listing import MOST_ON_A_PAGE
from twite.http.routes.reports import MOST_LISTED
from twite.x import spec


def test_checked_in_openapi_document_is_current():
    assert (FOLDER / "openapi.json").read_bytes() == rendered(), "run make generate"


async def test_openapi_document_is_served(stage):
    answer = await stage.ask("GET", "/v1/openapi.json", key=None)

    assert (answer.status, answer.body) == (200, rendered())


def test_schemas_of_request_bodies_have_the_fields_that_are_read():
    schemas = document()["components"]["schemas"]

    for shape in (Native, NativeContent, Many, XRequest, XConversion, XIdentifier, XContent):
        fields = {field.encode_name for field in msgspec.structs.fields(shape)}
        assert set(schemas[shape.__name__]["properties"]) == fields


def test_documented_limits_are_those_of_the_code():
    paths = document()["paths"]
    days = paths["/v1/deduplication"]["get"]["parameters"][0]["schema"]
    x_success = paths["/12/measurement/conversions/{pixel_id}"]["post"]["responses"]["200"]
    pixel_token = document()["components"]["securitySchemes"]["pixel token"]

    assert (days["maximum"], days["default"]) == (MOST_DAYS, DEFAULT_DAYS)
    assert f"at most {MOST_LISTED:,}." in paths["/v1/rejections"]["get"]["description"]
    listed = {
        each["name"]: each["schema"] for each in paths["/v1/conversions/list"]["get"]["parameters"]
    }
    assert listed["limit"]["maximum"] == MOST_ON_A_PAGE
    assert listed["state"]["enum"] == list(ListedState)
    assert list(x_success["headers"]) == [spec.CURRENT_VERSION_HEADER]
    assert pixel_token["name"] == spec.PIXEL_TOKEN_HEADER


def test_every_schema_reference_exists():
    text = rendered().decode()
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert names <= set(document()["components"]["schemas"])
