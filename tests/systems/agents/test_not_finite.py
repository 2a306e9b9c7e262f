"""What is no number: it is told where it came from, and no weight has learned of it."""

import pytest
import torch

from lrnn_kernels import agents, models, nn
from lrnn_kernels.agents import nested
from lrnn_kernels.tasks import adaptation

from . import cases


class Spoiled:
    """An environment that gives a number of one kind at one step of environment 2."""

    def __init__(self, env, kind: str, value: float, at: int = 7) -> None:
        self.env, self.kind, self.value, self.at, self.time = env, kind, value, at, 0

    def __getattr__(self, name: str):
        return getattr(self.env, name)

    def step(self, action, begin):
        self.time += 1
        observation, reward, *ends = (x.clone() for x in self.env.step(action, begin))
        if self.time >= self.at:
            (observation if self.kind == "observations" else reward)[2] = self.value
        return observation, reward, *ends


def ppo(env) -> agents.PPO:
    return agents.PPO(cases.policy(), env, agents.PPOSettings(steps=5, iterations=9))


def drqn(env) -> agents.DRQN:
    settings = agents.DRQNSettings(episodes=30, updates=1, batch=2)
    return agents.DRQN(cases.policy(critic=False), env, settings)


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
@pytest.mark.parametrize("kind", ["observations", "rewards"])
@pytest.mark.parametrize("made", [ppo, drqn])
def test_an_environment_of_no_numbers_is_named(made, kind, value):
    agent = made(Spoiled(cases.mazes(3), kind, value))
    with pytest.raises(ValueError, match=f"env must give finite {kind}, got {value} in .*nt 2"):
        agent.train()
    assert all(p.isfinite().all() for p in agent.policy.parameters())


def test_an_actor_critic_names_it_too():
    torch.manual_seed(0)
    env = Spoiled(adaptation.MovingTarget(3, seed=0, steps=4), "rewards", float("nan"))
    actor, critic = (
        models.RecurrentNet(nn.GRU(4, 5, batch_first=True), outputs) for outputs in ((1, 1), 1)
    )
    agent = agents.ActorCritic(
        actor, critic, env, agents.ActorCriticSettings(iterations=3, steps=9)
    )
    with pytest.raises(ValueError, match="env must give finite rewards, got nan in environment 2"):
        agent.train()


def test_a_gradient_of_no_numbers_changes_no_weight():
    agent = ppo(cases.mazes(3)).train(iterations=1)
    before = nested.copied(dict(agent.policy.state_dict()))
    with torch.no_grad():
        agent.policy.critic.bias.fill_(1e300)
    with pytest.raises(RuntimeError, match=r"the gradient must be finite, got a norm of .* iterat"):
        agent.train()
    before["critic.bias"] = torch.full((1,), 1e300, dtype=torch.float64)
    assert cases.same(dict(agent.policy.state_dict()), before)


class Rooted(torch.nn.Module):
    """An encoder that is finite, and whose gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return x + self.weight.abs().sqrt()


@pytest.mark.parametrize("made", [agents.PPO, agents.DRQN])
def test_a_finite_loss_may_have_such_a_gradient(made):
    is_ppo = made is agents.PPO
    policy = cases.policy(critic=is_ppo, encoder=Rooted(), observation_size=4)
    settings = agents.PPOSettings(steps=9) if is_ppo else agents.DRQNSettings(30, batch=2)
    with pytest.raises(RuntimeError, match="the gradient must be finite, got a norm of nan"):
        made(policy, cases.mazes(3), settings).train()
    assert all(p.isfinite().all() for p in policy.parameters())


@pytest.mark.parametrize("made", [ppo, drqn])
def test_what_was_refused_is_not_kept(made):
    """Once the environment gives numbers again, training goes on."""
    env = Spoiled(cases.mazes(3), "observations", float("nan"))
    agent = made(env)
    with pytest.raises(ValueError, match="env must give finite observations"):
        agent.train()
    env.at = 10**9
    env.reset()
    agent.train(**({"iterations": 2} if made is ppo else {"episodes": 3}))
    assert all(p.isfinite().all() for p in agent.policy.parameters())


@pytest.mark.parametrize("kind", ["observations", "rewards"])
@pytest.mark.parametrize("cls", [agents.PPO, agents.DRQN])
def test_numbers_that_the_policy_cannot_hold(cls, kind):
    """Finite in float64, and infinite in the policy's float32."""
    mazes = cases.mazes(3)
    inner = mazes.step
    mazes.step = lambda *given: tuple(
        x.double() if x.is_floating_point() else x for x in inner(*given)
    )
    env = Spoiled(mazes, kind, 1e300)
    policy = agents.Policy(nn.GRU(4, 5, batch_first=True), 4, critic=cls is agents.PPO)
    settings = {} if cls is agents.PPO else {"settings": agents.DRQNSettings(30, batch=2)}
    with pytest.raises(ValueError, match=f"env must give finite {kind}, got inf in environment 2"):
        cls(policy, env, **settings).train()


def test_a_critic_that_overflows_is_told():
    torch.manual_seed(0)
    env = Spoiled(adaptation.MovingTarget(3, seed=0, steps=4), "rewards", 1e25, at=1)
    actor, critic = (
        models.RecurrentNet(nn.GRU(4, 5, batch_first=True), outputs) for outputs in ((1, 1), 1)
    )
    settings = agents.ActorCriticSettings(iterations=3, steps=9)
    with pytest.raises(RuntimeError, match=r"must be finite, got a norm of .* of the critic in it"):
        agents.ActorCritic(actor, critic, env, settings).train()
    assert all(p.isfinite().all() for p in critic.parameters())
