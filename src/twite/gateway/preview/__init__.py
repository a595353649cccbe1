"""Preview sessions of tags: what becomes of the requests of one person."""
