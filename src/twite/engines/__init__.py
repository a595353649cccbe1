"""JavaScript engines for tag templates, behind the port twite.gtm.template.sandbox."""
