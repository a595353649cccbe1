"""X's results: fetch and store them, and report them beside what Twite delivered."""
