"""What to believe about a pixel after each answer of X, and what to do: pure, and kept in memory.

A bad answer can be the fault of one conversion, of its event, of the credentials, or of X itself.
If X read the conversions, its error codes tell. After a 5xx, a 401, an HTML page or no answer, it
depends on which conversions X accepts in the meantime. `learn` in `twite.domain.blame.learn` takes
the evidence and an answer, and returns the new evidence and the actions.
"""
