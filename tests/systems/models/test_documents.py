"""What docs/autoencoders.md shows runs as it stands there, for fewer epochs."""

import re

import torch

from tests import ROOT

SHORTER = {"epochs=200": "epochs=4", "epochs=100": "epochs=1", "epochs=150": "epochs=2"}


def test_the_guide(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {}
    for code in re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/autoencoders.md").read_text(), re.DOTALL
    ):
        for long, short in SHORTER.items():
            code = code.replace(long, short)
        before = scope.get("manifold")
        exec(code, scope)
    manifold, y, c = (scope[name] for name in ("manifold", "y", "c"))
    assert (before.project(y, c) - before.project(before.project(y, c), c)).norm() < 1e-5
    assert scope["history"].epoch == 2
    assert scope["states"].shape == (2, 26, 3)
    assert manifold is not before
    assert torch.equal(manifold.project(y, c), before.project(y, c))
