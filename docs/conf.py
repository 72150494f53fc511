# SPDX-License-Identifier: Apache-2.0
"""Sphinx: the pages are Markdown, and every warning is an error."""

project = "e4"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "adr/template.md"]
html_theme = "furo"
html_title = "e4"
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]
