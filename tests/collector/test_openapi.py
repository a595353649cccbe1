from pathlib import Path

import msgspec

from twite.collector.native import Receipted
from twite.collector.openapi import document, rendered
from twite.collector.openapi_bodies import BODIES
from twite.collector.quiet import ROUTES
from twite.collector.tags import DOORS
from twite.intake.native_shape import Many, Native, NativeContent
from twite.intake.x_api import XContent, XConversion, XIdentifier, XRequest

DOCUMENT = Path(__file__).parents[2] / "docs/reference/openapi.json"


def test_the_document_in_the_docs_is_the_one_that_is_served():
    assert DOCUMENT.read_bytes() == rendered(), (
        "run: python -m twite.collector > docs/reference/openapi.json"
    )


async def test_the_document_is_served(stage):
    answer = await stage.ask("GET", "/v1/openapi.json", key=None)

    assert (answer.status, answer.body) == (200, rendered())


def test_every_body_names_the_fields_that_are_read():
    shapes = (Native, NativeContent, Many, XRequest, XConversion, XIdentifier, XContent)

    assert {name: set(body["properties"]) for name, body in BODIES.items()} == {
        shape.__name__: {field.encode_name for field in msgspec.structs.fields(shape)}
        for shape in shapes
    }


def test_every_route_is_in_the_document():
    assert set(document()["paths"]) == {
        *ROUTES,
        "/v1/conversions/{pixel}/{conversion_id}",
        "/11/measurement/conversions/{pixel_id}",
        "/12/measurement/conversions/{pixel_id}",
        "/t",
        "/twite.js",
        "/twite.{hash}.js",
        *DOORS,
        "/stape-api/{source_key}/v1/twitter/auth-proxy",
    }


def test_every_reference_leads_somewhere():
    text = rendered().decode()
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert names <= set(document()["components"]["schemas"])


def test_the_names_of_components_do_not_follow_those_of_classes():
    before, name = document(), Receipted.__name__
    Receipted.__name__ = "AnotherName"
    try:
        assert document() == before
    finally:
        Receipted.__name__ = name
