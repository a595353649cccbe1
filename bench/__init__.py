"""`make bench`: ratios, taken side by side in one run on the machine at hand."""
