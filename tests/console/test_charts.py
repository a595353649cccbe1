"""Bars of parts: numbers become positions."""

from twite.console.charts import segments


def test_parts_of_a_bar_fill_it_in_proportion():
    bar = segments([("sent", 30, "ok"), ("none", 0, "wait"), ("dead", 10, "bad")], width=100)

    assert [(part.name, part.at, part.width) for part in bar] == [
        ("sent", 0, 74),
        ("dead", 74, 26),
    ]


def test_one_of_a_million_stays_visible_in_a_bar():
    bar = segments([("sent", 1_000_000, "ok"), ("dead", 1, "bad")], width=1000)

    assert bar[1].width >= 2
    assert bar[1].at + bar[1].width <= 1000
