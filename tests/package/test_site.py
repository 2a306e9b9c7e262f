"""The site builds without a warning, offline, and holds all that is public."""

import re
import subprocess
import sys

import pytest

import lrnn_kernels
from lrnn_kernels import nn
from tests import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import docstrings

sys.path.pop(0)


#: What a browser loads with a page.
LOADED = r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"'


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d"]
    done = subprocess.run(
        [*command, str(folder / "trees"), str(ROOT / "docs"), str(folder / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_reached(site):
    """From the first one, and nothing is fetched from elsewhere."""
    first = (site / "index.html").read_text()
    pages = {p.relative_to(site).as_posix() for p in site.rglob("*.html")}
    pages -= {"genindex.html", "search.html", "py-modindex.html"}
    assert {f"{p.stem}.html" for p in (ROOT / "docs").glob("*.md")} <= pages
    for page in pages - {"index.html"}:
        assert f'href="{page}"' in first, page
    for page in pages:
        fetched = re.findall(LOADED, (site / page).read_text())
        assert not fetched, f"{page} fetches {fetched}"


def test_all_that_is_public_is_in_the_reference(site):
    operators = (site / "api/operators.html").read_text()
    for name in lrnn_kernels.__all__:
        if callable(getattr(lrnn_kernels, name)):
            assert re.search(rf'id="lrnn_kernels\.(?:[\w.]+\.)?{name}"', operators), name
    layers = (site / "api/nn.html").read_text()
    for name in nn.__all__:
        assert f'id="lrnn_kernels.nn.{name}"' in layers, name


def test_docstrings_keep_their_text():
    lines = """z = H(|c| - |beta|), sigma_, *x, ``code_``.

Args:
    c: (B,T,C), the candidate,
        any sign.
    h_0 (keyword): the state.

As in:
    y = f(x)

- one
- two""".splitlines()
    got = "\n".join(docstrings.converted(lines))
    assert r"z = H(\|c\| - \|beta\|), sigma\_, \*x, ``code_``." in got
    assert "* **c**: (B,T,C), the candidate, any sign." in got
    assert r"* **h\_0 (keyword)**: the state." in got
    assert "::\n\n        y = f(x)" in got
    assert "* one\n* two" in got
