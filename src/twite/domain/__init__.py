"""What is true of conversions and deliveries, without any machine."""
