"""Fetch X's results in the background of a gateway, and connect them to its settings."""
