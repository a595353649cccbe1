"""What tags here would send, beside what another system did send for the same events.

lines ─ captured ─▶ cases: what came in, and what was sent for it
cases + what tags here ask for ─ comparing ─▶ matched, different, missing, extra
"""
