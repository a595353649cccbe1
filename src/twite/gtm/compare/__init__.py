"""Compare the requests that tags would send here with those that another system sent.

lines ─ capture ─▶ cases: what came in, and what was sent for it
cases + requests of the tags here ─ comparison ─▶ matched, different, missing, extra
"""
