"""Redaction of personal data and secrets, for storage and for display.

`vocabulary` classifies field names; `shapes` classifies values. `scrub_*` remove personal data
before it is stored; `mask_*` hide personal data and secrets in output. Every scrubbed field is also
masked, but not the reverse, because it is better to mask too much than too little.
"""
