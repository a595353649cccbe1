"""What a person allowed, read from the signals that came along."""
