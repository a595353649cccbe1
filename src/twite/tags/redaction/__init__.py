"""Mask secrets and personal data in what tags log, and find secrets in containers."""
