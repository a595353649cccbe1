"""The gateway's capabilities, and the ports that they need."""
