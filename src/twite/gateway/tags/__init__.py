"""Tags: templates that run for events, each of them a destination beside the pixels."""
