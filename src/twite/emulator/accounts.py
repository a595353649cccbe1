"""Ads accounts and a user's rights on them. [doc CM]"""

import re
from typing import Final, get_args

from twite.emulator.access import Caller, refuse_account
from twite.emulator.exchange import XAnswer, XRequestReceived, json_answer
from twite.emulator.world import EmulatedAccount, Permission, World

ANY_ROLE: Final[tuple[str, ...]] = get_args(Permission)
_LIST: Final = re.compile(r"/(?:11|12)/accounts")
_ONE: Final = re.compile(r"/(?:11|12)/accounts/([^/]+)")
_ACCESS: Final = re.compile(r"/(?:11|12)/accounts/([^/]+)/authenticated_user_access")


def answer_accounts(request: XRequestReceived, caller: Caller, world: World) -> XAnswer | None:
    """Return None if the request is not about accounts."""
    if request.method != "GET" or caller.user is None:
        return None
    roles = caller.user.roles
    if _LIST.fullmatch(request.path):
        mine = [_shown(world.accounts[id_]) for id_ in roles if id_ in world.accounts]
        return json_answer(200, {"request": {"params": {}}, "next_cursor": None, "data": mine})
    match = _ONE.fullmatch(request.path) or _ACCESS.fullmatch(request.path)
    if match is None:
        return None
    account_id = match[1]
    denied = refuse_account(caller.user, account_id, roles=ANY_ROLE)
    if denied is not None:
        return denied
    params = {"params": {"account_id": account_id}}
    if _ACCESS.fullmatch(request.path):
        rights = {"user_id": caller.user.id, "permissions": list(roles[account_id])}
        return json_answer(200, {"data": rights, "request": params})
    return json_answer(200, {"data": _shown(world.accounts[account_id]), "request": params})


def _shown(account: EmulatedAccount) -> dict[str, object]:
    return {
        "name": account.name,
        "business_name": None,
        "timezone": account.timezone,
        "timezone_switch_at": None,
        "id": account.id,
        "created_at": "2024-01-01T00:00:00Z",
        "updated_at": "2024-01-01T00:00:00Z",
        "industry_type": None,
        "business_id": None,
        "approval_status": "ACCEPTED",
        "deleted": False,
    }
