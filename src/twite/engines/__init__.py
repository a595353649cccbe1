"""Engines that run tag templates, each behind the port of twite.gtm.template.sandbox."""
