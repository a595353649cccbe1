"""X's language: what X's servers say and want, as pure translation."""
