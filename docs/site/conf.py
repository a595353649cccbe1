"""Settings of Sphinx. `make docs` runs build.py, which sets the version and stages the pages."""

import os

project = "Twite"
author = "The Twite authors"
copyright = author  # noqa: A001 - the name is Sphinx's
release = os.environ.get("TWITE_VERSION", "")
html_title = f"Twite {release}"

extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 6  # GitHub's anchors, which tests/docs/test_docs.py checks
myst_fence_as_directive: list[str] = []
source_suffix = {".md": "markdown"}
root_doc = "index"

html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False  # build.py puts the Markdown of each page beside it
html_show_sphinx = False
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
highlight_language = "text"
# Code with "…", diagrams of GitHub, and commands of several lines are shown without colours.
suppress_warnings = ["misc.highlighting_failure"]
