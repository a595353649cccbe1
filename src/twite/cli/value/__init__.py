"""`twite value`."""
