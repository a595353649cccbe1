"""Google services for templates: access tokens, and requests that carry them.

    getGoogleAuth ──▶ GoogleClient.send ─▶ TokenCache ─▶ GoogleTokenSource (the port)
    BigQuery, Firestore, … ─▶ GoogleCalls ─▶ GoogleClient.send ─▶ Web (the port of all templates)

The tag run or client conversation limits and counts the requests.
"""
