from twite.intake.repeats import Repeats


def an_order(number, **more):
    return {"event": "purchase", "conversion_id": f"o-{number}", "email": "a@example.com"} | more


def test_the_same_order_is_noted_with_the_row_it_stood_in():
    repeats = Repeats()
    repeats.see(2, an_order(1))

    finding = repeats.see(7, an_order(1, email=" A@Example.com"))

    assert (finding.code, finding.message) == (
        "same_as_earlier",
        "the same order and event as row 2",
    )


def test_what_differs_is_named():
    repeats = Repeats()
    repeats.see(2, an_order(1, value="1.00"))

    finding = repeats.see(7, an_order(1, value="2.00", ip="192.0.2.1"))

    assert finding.code == "differs_from_earlier"
    assert "with another value, ip" in finding.message


def test_another_event_or_pixel_is_another_order():
    repeats = Repeats()
    repeats.see(2, an_order(1))

    assert repeats.see(3, an_order(1, event="sign_up")) is None
    assert repeats.see(4, an_order(1, pixel="p2")) is None


def test_no_more_orders_are_remembered_than_memory_may_hold():
    repeats = Repeats(remembered=2)
    for number in (1, 2, 3):
        repeats.see(number, an_order(number))

    forgotten, known = repeats.see(4, an_order(1)), repeats.see(5, an_order(3))

    assert forgotten is None
    assert known is not None
