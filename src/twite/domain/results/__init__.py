"""X's results: what X attributes to ads, by account, day, campaign and event type."""
