"""Compare the requests that tags send in Twite with those that another system sent.

lines ─ capture ─▶ cases: the incoming request, and the requests sent for it cases + requests of the
tags here ─ comparison ─▶ matched, different, missing, extra
"""
