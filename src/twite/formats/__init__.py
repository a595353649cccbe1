"""Languages that submissions come in: bytes → conversions, without I/O."""
