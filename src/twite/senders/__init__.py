"""HTTP clients: X's Conversion API, X's other endpoints, Google's tokens, templates' requests."""
