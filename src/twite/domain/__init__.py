"""Domain: pure types and rules of conversions and deliveries, without I/O."""
