"""Google's own services for templates: who we are to Google, and what leaves with it.

    getGoogleAuth ──▶ Google.send ─▶ Tokens ─▶ Account (the port)
    BigQuery, Firestore, … ─▶ Calls ─▶ Google.send ─▶ Web (the port of all templates)

Whoever runs the template bounds and counts what leaves: a tag's errand, a client's talk.
"""
