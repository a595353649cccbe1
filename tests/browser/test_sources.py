"""Sources that share an origin."""

import pytest
from visitor import bought

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]


@pytest.fixture
def page(site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    return site


async def test_sources_of_a_shared_origin_send_one_order_once_each(visitor, page):
    page.shop.page("/other", "", head=page.tag("hiding", data_pixel="off"))
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-shared"))
    await visitor.waits_for_a_failure()
    await visitor.page.close()
    visitor.requests.clear()
    await visitor.context.set_offline(False)

    visitor.page = await visitor.other_tab()
    for path, count in (("/other", 1), ("/", 2)):
        await visitor.goes_to(path)
        await visitor.wait_until_idle()
        # The same order counts for another source, but only once for each source.
        await visitor.does(bought("order-shared"))
        await visitor.sends(count)
        await visitor.page.wait_for_load_state("networkidle")

    sources = [request.url.rpartition("=")[2] for request in visitor.requests if request.post_data]
    assert (sources, len(visitor.conversions())) == (["hiding", "page"], 2)
    await visitor.wait_until_queue_is_empty()
