"""Ways to X."""
