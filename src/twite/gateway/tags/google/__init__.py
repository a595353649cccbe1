"""Google services for templates: access tokens, and requests that carry them.

    getGoogleAuth ──▶ Google.send ─▶ Tokens ─▶ Account (the port)
    BigQuery, Firestore, … ─▶ Calls ─▶ Google.send ─▶ Web (the port of all templates)

The tag run or client conversation limits and counts the requests.
"""
