"""X's APIs as pure translation: requests, responses, OAuth signatures, facts."""
