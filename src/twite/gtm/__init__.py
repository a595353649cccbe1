"""Google's tag templates and what they may ask for, as values."""
