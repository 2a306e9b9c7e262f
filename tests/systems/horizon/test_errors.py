"""Bad input is refused by name; what is shown of states fits what decide says."""

import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.tasks import horizon
from lrnn_kernels.tasks.horizon import Corridor, Cue
from tests.systems.horizon.cases import Policy, corridor, one_hot
from tests.systems.horizon.test_decide import decaying, latch


class Says(torch.nn.Module):
    """A policy whose step returns whatever it is told to."""

    def __init__(self, says) -> None:
        super().__init__()
        self.says = says

    def step(self, x, state=None):
        return self.says(x)


def _counted(x, calls=[0]):  # noqa: B006 - what is tested is a policy that remembers elsewhere
    calls[0] += 1
    return torch.full((len(x), 3), float(calls[0])), x.clone()


@pytest.mark.parametrize(
    ("policy", "error", "says"),
    [
        (torch.nn.Linear(4, 3), TypeError, r"policy must be a torch.nn.Module with step\("),
        (None, TypeError, "policy must be .* got NoneType"),
        (Says(lambda x: (x[0], x)), ValueError, r"must return logits \(4, actions\), got \(4,\)"),
        (Says(lambda x: (None, x)), ValueError, r"logits \(4, actions\), got NoneType"),
        (Says(lambda x: (x[:, :2], x)), ValueError, "a logit for each of 3 actions, got 2"),
        (Says(lambda x: (x, None)), TypeError, "a state of tensors, .* got NoneType"),
        (Says(lambda x: (x, x[0])), ValueError, r"a dimension for the batch, got shape \(4,\)"),
        (Says(_counted), ValueError, "the same for the same arguments, got another"),
    ],
)
def test_bad_policies(policy, error, says):
    with pytest.raises(error, match=says):
        horizon.decide(policy, corridor((1, 2)))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"cues": []}, TypeError, "cues must be one Cue or more"),
        ({"cues": ["up"]}, TypeError, "cues must be one Cue or more"),
        ({"cues": corridor().cues[0]}, TypeError, "cues must be one Cue or more"),
        ({"inputs": one_hot(2, size=5)}, ValueError, r"junction must be a tensor of shape \(5,\)"),
        ({"inputs": torch.eye(4).long()}, TypeError, "inputs must be a tensor of floating point"),
        ({"inputs": torch.full((1, 4), torch.nan)}, ValueError, "inputs must be finite"),
        ({"inputs": torch.zeros(0, 4)}, ValueError, r"inputs must have shape \(n, in\)"),
        ({"actions": [0, 1]}, ValueError, r"actions must be 1 actions, .* got \[0, 1\]"),
        ({"actions": [-1]}, ValueError, "actions must be"),
        ({"junction": torch.zeros(3)}, ValueError, "junction must be a tensor of shape"),
        ({"shortest": 0}, ValueError, "shortest must be"),
    ],
)
def test_bad_corridors(change, error, says):
    good = corridor()
    given = {"cues": good.cues, "inputs": good.inputs, "actions": 0, "junction": good.junction}
    with pytest.raises(error, match=says):
        Corridor(**{**given, **change})


def test_cues_from_an_iterator():
    good = corridor()
    found = Corridor(iter(good.cues), good.inputs, 0, good.junction)
    assert found.cues == good.cues
    assert found != good  # tensors have no equality of their own


def test_bad_cues():
    with pytest.raises(ValueError, match="answer must be"):
        Cue("a", one_hot(0), [0], -1)
    with pytest.raises(ValueError, match="actions must be 1 actions"):
        Cue("a", one_hot(0), [], 1)
    with pytest.raises(ValueError, match=r"cues\[0\].inputs must have 4 channels"):
        Corridor([Cue("a", one_hot(0, size=6), [0], 1)], one_hot(2), 0, one_hot(3)[0])


def test_bad_environments_and_steps():
    with pytest.raises(TypeError, match=r"env must be a Corridor, .* got str"):
        horizon.decide(latch(), "maze")
    with pytest.raises(ValueError, match="max_steps must be"):
        horizon.decide(latch(), corridor(shortest=100), max_steps=99)
    with pytest.raises(TypeError, match="max_steps must be"):
        horizon.decide(latch(), corridor(), max_steps=1e3)


def test_a_trace_shows_what_decide_says():
    policy, env = decaying(0.9, 0.01), corridor()
    shown = horizon.trace(policy, env, range(1, 60))
    assert shown.cues == ("cue 0", "cue 1")
    assert shown.states.shape == (59, 2, 4)
    fails = (shown.asked[:, 0] <= 0).nonzero()[0, 0] + 1
    assert fails == horizon.decide(policy, env)[0].horizon
    assert (shown.walking > 0).all()
    torch.testing.assert_close(shown.states[10, 0, 0].item(), 0.9**10, rtol=1e-5, atol=0)
    assert torch.equal(horizon.trace(policy, env, iter([3, 7])).horizons, torch.tensor([3, 7]))
    for bad in ([], [0], [3, 3], [5, 2], [1.5], 5):
        with pytest.raises((TypeError, ValueError), match="horizons must be"):
            horizon.trace(policy, env, bad)


def test_a_trace_draws():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    shown = horizon.trace(latch(), corridor(), [1, 2, 5, 10])
    left, middle, right = figure.subplots(1, 3)
    shown.draw_margins(left)
    shown.draw_states(middle, 1)
    horizon.basins(latch(), corridor(), steps=5, points=9).draw(right)
    assert len(left.lines) == 3
    assert len(middle.lines) == 2


def test_basins_of_a_latch():
    """The corridor keeps unit 0 as it is, and what is done follows its sign."""
    found = horizon.basins(latch(), corridor(), steps=3, points=5, extent=1.5)
    assert (found.action[:, :2] == 2).all()
    assert (found.action[:, 3:] == 1).all()
    assert found.ends[0, :, 0].tolist() == found.first.tolist()
    assert found.paths["cue 1"][-1].tolist() == [-1.0, -1.0]
    with pytest.raises(ValueError, match="policy must have a state of two real numbers"):
        horizon.basins(Policy(nn.BMRU(4, 3)), corridor())
    with pytest.raises(ValueError, match="env must have a constant corridor, got 2 inputs"):
        horizon.basins(latch(), corridor(cells=(2, 3)))
