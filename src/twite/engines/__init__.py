"""Engines that run tag templates: a folder each, with the same port (twite.sgtm.sandbox)."""
