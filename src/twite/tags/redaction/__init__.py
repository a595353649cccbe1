"""Scrub events for tags, mask what tags log, and find secrets in containers."""
