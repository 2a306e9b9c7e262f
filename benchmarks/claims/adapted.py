"""What an agent does within an episode that hides something: what it earns, what its signal is
about, and what is left of it once the signal is frozen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lrnn_kernels import agents, models
from lrnn_kernels.tasks.adaptation import MovingTarget

from .claim import Plain

#: Of the rewards that are reported.
GAMMA = 0.998
#: Steps after which a signal is frozen, and steps that are watched from there; steps at which it is
#: asked what the signal is about.
FROZEN_AT, WATCHED = 200, 200
ASKED = (1, 2, 3, 5, 10, 20, 50, 100, FROZEN_AT)
_SHOWN = 100  # episodes of the plot
_RIDGE = 1e-3  # of the read-out, a share of the variance: units may be silent


class Episode:
    """Environments that an agent plays, its actions drawn as in training.

    Attributes: ``seen``, all that its networks read so far, and what they read next, (B,T+1,n).
    """

    def __init__(self, agent: agents.ActorCritic, env: Any) -> None:
        self.agent, self.state = agent, None
        settings = agent.settings
        self.env = agents.PreviousStep(
            env, reward=settings.reward, observation=settings.observation
        )
        self.observation = self.env.reset()
        self.generator = torch.Generator().manual_seed(0)
        self._seen: list[Tensor] = []

    @torch.no_grad()
    def play(self, steps: int, *, greedy: bool = False) -> Tensor:
        """So many steps' rewards, (B,steps)."""
        actor, rewards = self.agent.actor, []
        for _ in range(steps):
            self._seen.append(self.observation)
            out, self.state = actor.step(self.observation, self.state)
            action = actor.greedy(out) if greedy else actor.draw(out, self.generator)
            self.observation, reward, _, _ = self.env.step(action)
            rewards.append(reward)
        return torch.stack(rewards, 1)

    @property
    def seen(self) -> Tensor:
        return torch.stack([*self._seen, self.observation], 1)

    def kept(self) -> tuple:
        """What ``back`` goes back to."""
        return self.env.get_state(), self.state, self.generator.get_state()

    def back(self, kept: tuple) -> None:
        self.observation = self.env.set_state(kept[0])
        self.state = kept[1]
        self.generator.set_state(kept[2])


def play(agent: agents.ActorCritic, env: Any, *, greedy: bool = False) -> Tensor:
    """The rewards of an episode of each environment, (B,T)."""
    return Episode(agent, env).play(env.steps, greedy=greedy)


def discounted(rewards: Tensor) -> Tensor:
    """(B,)"""
    return (rewards * GAMMA ** torch.arange(rewards.shape[1])).sum(1)


def informed(env: Any) -> Tensor:
    """The rewards of someone who is told what is hidden, (B,T)."""
    env.reset()
    return torch.stack([env.step(env.best()).reward for _ in range(env.steps)], 1)


def bayes(env: MovingTarget) -> Tensor:
    """The rewards of who knows how targets are drawn, is told nothing and acts best, (B,T). It aims
    at an offset of -7.2 first, where a distance mostly tells on which side the target is; where it
    does not, at one of both, off by nearly 1 towards the other; then it knows."""
    shown = env.reset().double()
    first = torch.full_like(shown, -7.2)

    def earned(offset: Tensor) -> Tensor:
        nonlocal shown
        shown, reward, _, _ = env.step((shown + offset) / 5)
        shown = shown.double()
        return reward[:, None]

    rewards = [earned(first)]
    distance = -rewards[0].double()
    hit, near, far = distance < 0, first - distance, first + distance
    both = ~hit & (near >= -10)
    offset = torch.where(hit, first, torch.where(both, near + 0.99, far))
    rewards.append(earned(offset))
    offset = torch.where(both & (rewards[1] < 0), far, offset)
    rewards += [earned(offset) for _ in range(env.steps - 2)]
    return torch.cat(rewards, 1)


def tested(agent: agents.ActorCritic, env: Callable[[int], Any], steps: int) -> Plain:
    """What the agent earns in new episodes of so many steps, and what its signal is about; of an
    NMD net, what is left once it is frozen."""
    rewards = play(agent, env(steps))
    found = {
        "known": _mean(discounted(informed(env(steps)))),
        "score": _mean(discounted(rewards)),
        "a_step": _mean(rewards),
        "greedy": _mean(discounted(play(agent, env(steps), greedy=True))),
    }
    episode = Episode(agent, env(FROZEN_AT + WATCHED))
    episode.play(FROZEN_AT)
    signals = signal(agent.actor.net, episode.seen)
    about, last = hidden(episode.env.env), signals[:, -1]
    found["read"] = {str(n): round(read(signals[:, n], about)[0], 4) for n in ASKED}
    found["r2"], told = read(last, about)
    found["unit"] = unit(last, about)
    found["told"] = [[round(x, 3) for x in pair] for pair in told[:_SHOWN]]
    if isinstance(agent.actor.net, models.NMDNet):
        found["frozen"] = frozen(episode, last)
    return found


@torch.no_grad()
def signal(net: torch.nn.Module, seen: Tensor) -> Tensor:
    """z of an NMD net, or of another network what its first dense layer makes of the recurrent
    one's outputs, (B,T,k)."""
    if isinstance(net, models.NMDNet):
        return net.modulation(seen[..., : net.context_size])[0]
    return torch.relu(net.dense[0](net.rnn(seen)[0]))


def hidden(env: Any) -> Tensor:
    """(B,n) float32, what an episode hides: an angle by its cosine and sine."""
    if type(env).__name__ == "WindyReference":
        return torch.cat((env.hidden.cos(), env.hidden.sin()), 1).float()
    return env.hidden.float()


def read(z: Tensor, about: Tensor) -> tuple[float, list[tuple[float, float]]]:
    """How well a linear map of z (B,k), fitted to half of the episodes, says what the others hide:
    R^2, and (what is hidden, what is read) of the first channel."""
    half = len(z) // 2
    center, scale = z[:half].mean(0), z[:half].std() + 1e-9
    x = torch.cat(((z - center) / scale, torch.ones(len(z), 1)), 1).double()
    y = about.double()
    gram = x[:half].T @ x[:half] + _RIDGE * half * torch.eye(x.shape[1], dtype=x.dtype)
    out = x[half:] @ torch.linalg.solve(gram, x[:half].T @ y[:half])
    left = (y[half:] - out).square().sum()
    r2 = 1 - (left / (y[half:] - y[half:].mean(0)).square().sum()).item()
    return r2, list(zip(y[half:, 0].tolist(), out[:, 0].tolist(), strict=True))


def unit(z: Tensor, about: Tensor) -> float:
    """The largest magnitude of a unit's correlation with what is hidden."""
    z, about = (x - x.mean(0) for x in (z.double(), about.double()))
    norms = z.norm(dim=0)[:, None] * about.norm(dim=0)
    return (z.T @ about / norms).abs().nan_to_num(0.0).max().item()


def frozen(episode: Episode, z: Tensor) -> Plain:
    """Mean rewards of the steps that follow: with z free and frozen; and the same where something
    else is hidden from here on, another episode's, or of two targets the other one."""
    net, env = episode.agent.actor.net, episode.env.env
    here, found = episode.kept(), {}
    for other in (False, True):
        for name, kept in (("free", None), ("frozen", z)):
            episode.back(here)
            if other:
                two = type(env).__name__ == "TwoReferences"
                env.hidden.copy_(1 - env.hidden if two else env.hidden.roll(1, 0))
            net.freeze_modulation(kept)
            rewards = episode.play(WATCHED)
            net.freeze_modulation(None)
            key = f"{name}, another hidden" if other else name
            found[key] = _mean(rewards)
            if name == "frozen" and type(env).__name__ == "TwoReferences":
                hits = (rewards != 0).sum()
                found[f"wrong of hits, {key}"] = ((rewards < 0).sum() / hits.clamp(min=1)).item()
    return found


def _mean(x: Tensor) -> float:
    mean = x.double().mean().item()
    return mean if math.isnan(mean) else round(mean, 4)
