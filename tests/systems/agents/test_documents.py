"""What docs/agents.md shows runs as it stands there, in fewer steps where it takes long."""

import re

import torch

from tests import ROOT

SHORTER = {
    "iterations=120": "iterations=2",
    "iterations=400": "iterations=2",
    "MovingTarget(100, seed=1)": "MovingTarget(100, seed=1, steps=50)",
    "episodes=300": "episodes=9",
    "iterations=150, steps=200": "iterations=2, steps=20",
    "iterations=20)": "iterations=2)",
    "collect(64)": "collect(9)",
}


def blocks(document: str, after: str = "") -> list[str]:
    text = (ROOT / document).read_text()
    text = text[text.index(after) :]
    text = text[: text.find("\n## ", 1)] if after else text
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_at_once(monkeypatch):
    """As it stands: a policy that was trained at 5 to 20 cells walks 5,000."""
    torch.manual_seed(0)
    (code,) = blocks("docs/agents.md", "## At once")
    exec(code, scope := {})
    assert scope["rewards"].eq(4).all()
    assert scope["steps"].eq(5001).all()


def test_the_guide(monkeypatch, tmp_path, capsys):
    """All but the last example."""
    monkeypatch.chdir(tmp_path)
    _, *found, popgym = blocks("docs/agents.md")
    scope = {}
    for code in found:
        for long, short in SHORTER.items():
            code = code.replace(long, short)
        exec(code, scope)
    assert scope["ppo"].iteration == 2
    assert scope["drqn"].episode >= 9
    assert scope["trained"].iteration == 2
    assert scope["steps"].eq(50).all()
    assert "popgym" in popgym


def test_popgym():
    code = blocks("docs/agents.md")[-1].replace("iterations=150", "iterations=2")
    exec("import torch\nfrom lrnn_kernels import agents, nn\n" + code, scope := {})
    assert scope["env"].observation_size == 4
