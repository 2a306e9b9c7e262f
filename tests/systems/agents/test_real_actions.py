"""Policies whose actions are real numbers, and PPO with them."""

import copy

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from lrnn_kernels import agents, nn
from lrnn_kernels.agents.actions import ONE_OF, REAL
from lrnn_kernels.tasks import adaptation

from . import cases


class Cue:
    """A number shown at an episode's first step; later an action is worth minus the squared
    distance from it. Six steps."""

    batch_size, observation_size, action_size = 32, 2, 2

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def reset(self) -> torch.Tensor:
        self.time = torch.zeros(self.batch_size, dtype=torch.int64)
        self.cue = self._drawn()
        return self.cue

    def step(self, action, begin):
        fresh = begin[:, None]
        self.cue = torch.where(fresh, self._drawn(), self.cue)
        self.time = torch.where(begin, 0, self.time + 1)
        reward = torch.where(begin, 0.0, -(action - self.cue).square().sum(1))
        over = self.time == 6
        return torch.where(fresh, self.cue, 0.0), reward, over, torch.zeros_like(over)

    def _drawn(self) -> torch.Tensor:
        return 2 * torch.rand(self.batch_size, 2, generator=self.generator) - 1

    def get_state(self):
        return {"time": self.time, "cue": self.cue, "generator": self.generator.get_state()}

    def set_state(self, state):
        self.time, self.cue = state["time"].clone(), state["cue"].clone()
        self.generator.set_state(state["generator"])
        return torch.where((self.time == 0)[:, None], self.cue, 0.0)


def policy(network: str = "GRU", **options) -> agents.Policy:
    torch.manual_seed(3)
    return agents.Policy(cases.NETWORKS[network](2), action_size=2, **options)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_densities_entropies_and_divergences_are_torchs():
    old, new = drawn(2, 5, 7, 6)
    action = drawn(5, 7, 3)

    def normal(out):
        return Normal(out[..., :3], ((out[..., 3:] - 1) / 2).exp())

    pairs = [
        (REAL.log_density(new, action), normal(new).log_prob(action).sum(-1)),
        (REAL.entropy(new), normal(new).entropy().sum(-1)),
        (REAL.divergence(old, new), kl_divergence(normal(old), normal(new)).sum(-1)),
    ]
    which = torch.arange(35).view(5, 7) % 6
    old_logs, new_logs = (ONE_OF.normalized(x) for x in (old, new))
    pairs += [
        (ONE_OF.log_density(new_logs, which), Categorical(logits=new).log_prob(which)),
        (ONE_OF.entropy(new_logs), Categorical(logits=new).entropy()),
        (
            ONE_OF.divergence(old_logs, new_logs),
            kl_divergence(Categorical(logits=old), Categorical(logits=new)),
        ),
    ]
    for found, wanted in pairs:
        assert found.shape == (5, 7)
        torch.testing.assert_close(found, wanted)


def test_actions_are_drawn_as_they_say():
    mean, log_variance = torch.tensor([1.0, -2.0]), torch.tensor([0.5, -1.0])
    answers = torch.cat([mean, log_variance]).expand(40_000, 4)
    found = policy().draw(answers, torch.Generator().manual_seed(0))
    deviation = ((log_variance - 1) / 2).exp()
    assert ((found.mean(0) - mean).abs() < 5 * deviation / 200).all()
    assert ((found.std(0) / deviation - 1).abs() < 0.02).all()
    assert policy().greedy(answers).equal(mean.expand(40_000, 2))


@cases.every_network
def test_a_policy_answers_the_same_step_by_step(network):
    made = policy(network, hidden=3)
    x, reset = drawn(3, 7, 2), torch.rand(3, 7) < 0.3
    logits, _ = made(x, None, reset)
    assert logits.shape == (3, 7, 4)
    state, found = None, []
    for t in range(7):
        out, state = made.step(x[:, t], state, reset[:, t])
        found.append(out)
    torch.testing.assert_close(torch.stack(found, 1), logits)
    with torch.no_grad():
        made.log_variance.copy_(torch.tensor([0.25, -0.5]))
    assert (made(x)[0][..., 2:] == torch.tensor([0.25, -0.5])).all()


def test_a_copy_acts_alike():
    made = policy()
    other = copy.deepcopy(made)
    x = drawn(3, 2)
    assert other.step(x)[0].equal(made.step(x)[0])
    assert other.greedy(other.step(x)[0]).shape == (3, 2)
    assert "log_variance" in made.state_dict()


def test_a_loss_is_its_formula():
    """The clipped surrogate, entropy and KL of normal distributions, over the steps that count."""
    agent = agents.PPO(policy(), Cue(), agents.PPOSettings(steps=13), seed=0)
    window = agent.walker.walk(13)
    assert window.begins.any()
    batch = agent._batch(window, None)
    with torch.no_grad():
        for p in agent.policy.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
    found = agent._evaluated(window, None)
    losses = batch.losses(*found, 0.2)

    def normal(out):
        return Normal(out[..., :2], ((out[..., 2:] - 1) / 2).exp())

    new, old, valid = normal(found[0]), normal(batch.acted), ~window.begins
    ratio = (new.log_prob(window.action) - old.log_prob(window.action)).sum(-1).exp()
    clipped = ratio.clamp(0.8, 1.2)
    surrogate = -torch.minimum(ratio * batch.gain, clipped * batch.gain)
    wanted = (
        surrogate,
        (found[1] - batch.returns).square(),
        new.entropy().sum(-1),
        kl_divergence(old, new).sum(-1),
    )
    for x, y in zip(losses, wanted, strict=True):
        torch.testing.assert_close(x, y[valid].mean())


@pytest.mark.parametrize("settings", [{}, {"minibatches": 3}], ids=["whole", "minibatches"])
def test_it_goes_on_with_the_same_bits(settings, tmp_path):
    def made(seed: int) -> agents.PPO:
        given = agents.PPOSettings(steps=11, iterations=6, **settings)
        return agents.PPO(policy("LRU>BRC"), Cue(seed), given, seed=seed)

    one, told = made(4), []
    one.train(iterations=3)
    state = cases.through_a_file(one.state_dict(), tmp_path / "state.pt")
    one.train(told.append)
    other, again = made(5), []
    other.load_state_dict(state)
    other.train(again.append)
    assert told == again
    assert cases.same(one.state_dict(), other.state_dict())
    assert not cases.same(other.state_dict(), made(6).train().state_dict())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_to_keep_a_number(seed):
    """Six times a third for each of two numbers, -4, is what the best action without memory gets;
    0 the best of all."""
    torch.manual_seed(seed)
    made = agents.Policy(nn.MinGRU(2, 32, batch_first=True), action_size=2, hidden=32)
    settings = agents.PPOSettings(
        iterations=60, steps=56, minibatches=4, lr=1e-2, entropy=0.0, kl=None
    )
    agents.PPO(made, Cue(seed), settings, seed=seed).train()
    rewards, steps = agents.play(made, Cue(100))
    assert steps.eq(6).all()
    assert rewards.mean() > -0.1


def test_it_walks_in_tasks_of_real_actions():
    env = agents.PreviousStep(adaptation.MovingTarget(4, seed=0, steps=5))
    made = agents.Policy(nn.CMRU(env.observation_size, 6, batch_first=True), action_size=1)
    agents.PPO(made, env, agents.PPOSettings(iterations=3, steps=12)).train()
    rewards, steps = agents.play(made, env, seed=0)
    assert rewards.isfinite().all()
    assert steps.eq(5).all()


def test_what_does_not_fit_is_refused():
    gru = nn.GRU(4, 4, batch_first=True)
    with pytest.raises(ValueError, match="either actions or action_size must be given, got nei"):
        agents.Policy(gru)
    with pytest.raises(ValueError, match="either actions or action_size must be given, got 4 a"):
        agents.Policy(gru, 4, action_size=2)
    with pytest.raises(ValueError, match="action_size must be at least 1, got 0"):
        agents.Policy(gru, action_size=0)
    with pytest.raises(ValueError, match="first must be None with action_size"):
        agents.Policy(gru, action_size=2, first=(0.5, 0.5))
    real = agents.Policy(gru, action_size=2)
    with pytest.raises(ValueError, match=r"policy must have actions = 4, as env, got .*size = 2"):
        agents.PPO(real, cases.mazes(3))
    with pytest.raises(ValueError, match=r"policy must have action_size = 2, as env, got .*s = 4"):
        agents.PPO(agents.Policy(nn.GRU(2, 4, batch_first=True), 4), Cue())
    with pytest.raises(ValueError, match="policy must have action_size = 2, as env, got 3"):
        agents.PPO(agents.Policy(nn.GRU(2, 4, batch_first=True), action_size=3), Cue())
    with pytest.raises(ValueError, match="policy must have actions to choose from, got one wit"):
        agents.DRQN(agents.Policy(gru, action_size=2, critic=False), cases.mazes(3))
    with pytest.raises(TypeError, match=r"as tasks\.t_maze\.TMaze .*, got Cue without actions"):
        agents.PreviousActionReward(Cue())
    with pytest.raises(TypeError, match=r"as tasks\.adaptation.*, got TMaze without action_size"):
        agents.PreviousStep(cases.mazes(3))
