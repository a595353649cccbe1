"""Preview sessions of tags: what Twite does with the requests of one browser."""
