"""Policies: what they are made of, and what they cannot be."""

import pytest
import torch

from lrnn_kernels import agents, nn

from . import cases

PLAIN = {"steps": 11, "iterations": 6}


def test_an_encoder_before_the_memory():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(4, 12), torch.nn.ReLU(), torch.nn.Linear(12, 6))
    rnn = nn.GRU(6, 8, batch_first=True)
    policy = agents.Policy(rnn, 4, encoder=encoder, observation_size=4)
    x, reset = torch.rand(3, 7, 4), torch.rand(3, 7) < 0.3
    logits, _ = policy(x, None, reset)
    want, _ = rnn(encoder(x), None, reset)
    torch.testing.assert_close(logits, policy.head(want))
    state, found = None, []
    for t in range(7):
        out, state = policy.step(x[:, t], state, reset[:, t])
        found.append(out)
    torch.testing.assert_close(torch.stack(found, 1), logits)
    torch.testing.assert_close(policy.step(x[0, 0])[0], policy.step(x[:, 0])[0][0])
    before = encoder[0].weight.detach().clone()
    agents.PPO(policy, cases.mazes(3), agents.PPOSettings(**PLAIN)).train(iterations=2)
    assert not torch.equal(before, encoder[0].weight)


def test_what_no_encoder_can_be_is_refused():
    rnn, encoder = nn.GRU(6, 8, batch_first=True), torch.nn.Linear(4, 5)
    with pytest.raises(ValueError, match="observation_size must be given with an encoder"):
        agents.Policy(rnn, 4, encoder=encoder)
    with pytest.raises(ValueError, match="observation_size must be rnn's input_size, 6"):
        agents.Policy(rnn, 4, observation_size=4)
    with pytest.raises(TypeError, match=r"encoder must be a torch\.nn\.Module, got int"):
        agents.Policy(rnn, 4, encoder=3, observation_size=4)
    policy = agents.Policy(rnn, 4, encoder=encoder, observation_size=4)
    with pytest.raises(ValueError, match=r"encoder must map \(N,4\) to \(N,6\).* got \(14, 5\)"):
        policy(torch.rand(2, 7, 4))
    with pytest.raises(ValueError, match=r"observations must have 4 channels, got shape \(2, 3\)"):
        policy.step(torch.rand(2, 3))
    dropping = torch.nn.Sequential(encoder, torch.nn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"encoder must have dropout=0, got 0\.5 in Dropout"):
        agents.Policy(rnn, 4, encoder=dropping, observation_size=4)


POLICY = {
    "rnn": (
        {"rnn": torch.nn.Linear(4, 4)},
        TypeError,
        "rnn must be a recurrent layer .*, got Linear",
    ),
    "time first": ({"rnn": nn.GRU(4, 4)}, ValueError, "rnn must have batch_first=True, got False"),
    "directions": (
        {"rnn": nn.GRU(4, 4, batch_first=True, bidirectional=True)},
        ValueError,
        "rnn must be of one direction",
    ),
    "dropout": (
        {"rnn": nn.GRU(4, 4, 2, batch_first=True, dropout=0.1)},
        ValueError,
        "rnn must have dropout=0, got 0.1 in GRU",
    ),
    "dropout of torch's": (
        {"rnn": nn.Stack(torch.nn.GRU(4, 4, 2, batch_first=True, dropout=0.2))},
        ValueError,
        "rnn must have dropout=0, got 0.2 in GRU",
    ),
    "actions": ({"actions": 1}, ValueError, "actions must be at least 2, got 1"),
    "a float of actions": ({"actions": 4.0}, TypeError, "actions must be an int, got float"),
    "hidden": ({"hidden": 0}, ValueError, "hidden must be at least 1, got 0"),
    "critic": ({"critic": 1}, TypeError, "critic must be a bool, got int"),
    "a sum": ({"first": (0.5, 0.2, 0.2, 0.2)}, ValueError, "first must be 4 probabilities"),
    "too few": ({"first": (0.5, 0.5)}, ValueError, "first must be 4 probabilities .*got"),
    "none": ({"first": (1, 0, 0, 0)}, ValueError, r"first must be in \(0, 1\], got 0"),
}


@pytest.mark.parametrize("case", POLICY)
def test_what_no_policy_can_be_is_refused(case):
    given, error, message = POLICY[case]
    with pytest.raises(error, match=message):
        agents.Policy(**{"rnn": nn.GRU(4, 4, batch_first=True), "actions": 4, **given})
