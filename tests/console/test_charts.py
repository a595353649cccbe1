"""Column charts: numbers become positions of columns."""

from twite.console.charts import HEIGHT, AxisLabel, columns


def test_highest_column_reaches_the_top_and_its_parts_are_stacked():
    chart = columns([("10:00", "ten", [("ok", 3), ("bad", 1)]), ("11:00", "eleven", [("ok", 2)])])

    first, second = chart.columns
    assert chart.most == 4
    assert first.blocks[-1].y == 0
    assert first.blocks[0].y == first.blocks[1].height
    assert second.blocks[0].height == HEIGHT / 2


def test_small_part_of_a_column_stays_visible_beside_a_million():
    chart = columns([("a", "", [("ok", 1_000_000)]), ("b", "", [("bad", 1)])])

    assert chart.columns[1].blocks[0].height >= 1


def test_chart_without_data_is_empty():
    chart = columns([("a", "", [("ok", 0)])])

    assert (chart.most, chart.columns[0].blocks) == (0, ())
    assert chart.labels == (AxisLabel(x=360.0, text="a"),)
