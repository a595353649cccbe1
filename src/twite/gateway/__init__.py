"""What the gateway does, one verb a file, and the ports it needs."""
