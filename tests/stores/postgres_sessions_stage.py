"""Another program on Twite's database, and the sessions of Twite that it sees."""

import time

SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'twite' AND datname = current_database()"""


async def sessions_of(connection, number):
    """Wait until the database has so many sessions of Twite: the server ends them soon."""
    end = time.monotonic() + 20
    while await connection.fetchval(SESSIONS) != number:
        assert time.monotonic() < end
    return number
