"""docs/adding_a_neuron.md shows a model's files as they are."""

from tests import ROOT

GUIDE = (ROOT / "docs/adding_a_neuron.md").read_text()


def test_the_guide_shows_the_files():
    for path in (
        "lrnn_kernels/neurons/models/hh.py",
        "csrc/neurons/hh.h",
        "triton_kernels/neurons/hh.py",
    ):
        assert f"\n{(ROOT / path).read_text()}```" in GUIDE
    assert "  X(hh, Hh)\n" in (ROOT / "csrc/neurons/list.h").read_text()
