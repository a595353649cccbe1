import json


async def test_source_of_a_key_and_the_memory_of_duplicates_are_described(stage):
    answer = await stage.ask("GET", "/v1/source")

    assert answer.status == 200
    assert json.loads(answer.body) == {"source": "shop", "dedup_window": 604_800}


async def test_description_of_a_source_requires_its_key(stage):
    assert (await stage.ask("GET", "/v1/source", key=None)).status == 401
