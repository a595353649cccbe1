"""What people are shown of what came in and went out: persons and secrets in it are masked.

`trees` masks JSON by the names of fields and their values, `texts` any other text by what stands in
it. Both err on the side of hiding: what looks like a person, a key or a token is none to show.
"""
