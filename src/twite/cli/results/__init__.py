"""`twite results`."""
