"""docs/adding_a_neuron.md shows a model's files as they are; docs/neurons.md couples two cells."""

import re

import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons.curves import Sigmoid
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


def test_curves_of_the_tables_are_those_of_the_models(monkeypatch):
    """docs/neurons.md shows them as formulas, and shows all that are sigmoids."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    import tables

    V, shown, text = torch.linspace(-90, 50, 29, dtype=torch.float64), 0, tables.models()
    for model in neurons.MODELS.values():
        for gate in model.gates:
            for curve in (gate.x_inf, gate.tau):
                if isinstance(curve, Sigmoid):
                    formula = tables._curve(curve).strip("`")
                    assert formula in text
                    found = eval(formula, {"exp": torch.exp, "V": V})
                    torch.testing.assert_close(found, curve(V))
                    shown += 1
    assert shown == text.count("exp(")


def test_coupled_axons_fire_in_turns():
    """As docs/neurons.md says of its example."""
    text = (ROOT / "docs/neurons.md").read_text()
    (example,) = (x for x in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "s.flip" in x)
    exec(example, scope := {"torch": torch, "neurons": neurons})
    left, right = scope["left"][-3:], scope["right"][-3:]
    period = left.diff().mean()
    phase = ((right - left) / period) % 1
    assert (phase - 0.5).abs().max() < 0.05
