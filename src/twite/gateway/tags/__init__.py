"""Tags: templates that run for events. Each tag is a destination, like a pixel."""
