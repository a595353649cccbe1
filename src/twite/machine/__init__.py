"""Adapters to the operating system: clock, disk, passwords, random numbers, encryption."""
