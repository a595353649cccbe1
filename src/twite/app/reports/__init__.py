"""Reports: what commands print with `--json`, and what the tools of `twite mcp` return.

Each report is a struct of typed fields. Texts from outside, such as X's answers, are masked,
escaped and cut: see `text.shown`. Reports contain no bodies.
"""
