"""What may be kept and shown of persons and secrets: one vocabulary, with two uses.

`vocabulary` knows names of fields, `shapes` and `secrets` know values. `scrub_*` take persons out
of what is written to the disk or handed to a tag; `mask_*` hide persons and secrets from what is
shown. A name of a field that is scrubbed is also masked: the reverse need not hold, since a mask
errs on the side of hiding.
"""
