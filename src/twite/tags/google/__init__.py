"""Google services for templates: access tokens, and requests that use them.

    getGoogleAuth ──▶ GoogleClient.send ─▶ TokenCache ─▶ GoogleTokenSource (the port)
    BigQuery, Firestore, … ─▶ GoogleCalls ─▶ GoogleClient.send ─▶ Web (the port of all templates)

Tag runs and client conversations limit and count the requests.
"""
