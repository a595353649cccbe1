"""JavaScript engines for tag templates, behind the port twite.tags.template.sandbox."""
