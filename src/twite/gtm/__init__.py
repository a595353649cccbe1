"""Google Tag Manager: tag templates, server containers, the importer, and the comparison."""
