"""The site: ``python -m sphinx -W docs docs/_build`` (pip install "lrnn-kernels[docs]")."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from lrnn_kernels.version import __version__  # noqa: E402

project = "lrnn-kernels"
copyright = "the lrnn-kernels developers"
smartquotes = False
author = "the lrnn-kernels developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings"]
exclude_patterns = ["_build", "examples/*"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"lrnn-kernels {__version__}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "show-inheritance": True}
