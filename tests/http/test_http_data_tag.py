import msgspec
from tag_stage import CLICK, NOW


async def test_data_tag_event_is_answered_with_time_and_id(api):
    body = msgspec.json.encode({"transaction_id": "T-1", "twclid": CLICK})

    response = await api.of_page(
        "POST", "/data?v=2&event=purchase", body, headers={"Content-Type": "text/plain"}
    )

    reported = response.json()
    assert (response.status, reported["timestamp"]) == (200, NOW // 1_000)
    assert reported["unique_event_id"].startswith(f"{NOW}_")
    assert [conversion["conversion_id"] for conversion in await api.sent()] == ["T-1"]


async def test_list_of_data_tag_events_is_answered_with_a_list(api):
    events = [{"event": "purchase", "unique_event_id": "u-1", "twclid": CLICK}, {"event": "scroll"}]

    response = await api.of_page("POST", "/data?v=2", msgspec.json.encode(events))

    assert [item["unique_event_id"][:4] for item in response.json()] == ["u-1", f"{NOW}"[:4]]


async def test_data_tag_get_request_is_answered_with_an_image(api):
    response = await api.of_page("GET", f"/data?v=2&event=sign_up&event_id=e-1&twclid={CLICK}")

    assert (response.status, response.headers["content-type"]) == (200, "image/gif")
    assert response.body.startswith(b"GIF89a")


async def test_redirect_parameter_of_a_data_tag_request_is_ignored(api):
    response = await api.of_page("GET", "/data?event=sign_up&twclid=a&r=https://evil.example/")

    assert (response.status, "location" in response.headers) == (200, False)


async def test_form_body_of_a_data_tag_request_is_read(api):
    response = await api.of_page(
        "POST",
        "/data?v=2&event=purchase",
        b"transaction_id=T-1&items.0.item_id=A&twclid=abc",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"},
    )

    (sent,) = await api.sent()
    assert response.status == 200
    assert sent["contents"] == [{"content_id": "A"}]
