"""Whether tags know that a page sent the event."""

from tag_stage import KEY, PROXY, TagStage, stage_arguments

from twite.gateway.ports.tags import FiringResult

HIT = "/g/collect?v=2&tid=G-1&cid=1.2&sid=3&_p=4&_s=5"
BOUGHT = b"en=purchase&ep.transaction_id=T-1&epn.value=49.9&ep.currency=EUR"


class OriginListener:
    """Replaces the tags. Records whether a page sent the events."""

    def __init__(self):
        self.from_page = []

    def listens_to(self, _source):
        return True

    async def dispatch(self, _remarks, *, origin, **_more):
        self.from_page.append(origin.from_page)
        return FiringResult()


async def test_tag_events_say_whether_a_page_sent_them(staged):
    needs, store = stage_arguments()
    needs["accept"].tag_dispatcher = listener = OriginListener()
    api = TagStage(await staged(**needs, trusted_proxies=PROXY), store)
    beacon = b'{"v": 1, "conversions": [{"event": "purchase", "conversion_id": "A-1"}]}'

    await api.of_page("POST", HIT, BOUGHT)
    await api.of_page("POST", "/t?s=shop", beacon)
    await api.of_server("POST", f"{HIT}&api_secret={KEY}", BOUGHT)

    assert listener.from_page == [True, True, False]
