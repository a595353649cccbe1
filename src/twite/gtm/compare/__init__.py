"""Compare the requests of tags in Twite with the requests that another system sent.

lines ─ capture ─▶ cases: the incoming request, and the requests sent for it cases + requests of the
tags here ─ comparison ─▶ matched, different, missing, extra
"""
