"""Proximal policy optimization for recurrent policies, on windows of fixed length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..calls import sigint
from ..nn import EpsAnneal
from ..options import boolean, integer, number
from . import environment, finite, nested
from .actions import Actions
from .environment import Environment
from .policy import Policy
from .window import Walker, Window, advantages, standardized


@dataclass(frozen=True)
class PPOSettings:
    """How ``PPO`` trains; the defaults learn the T-maze.

    Args:
        iterations: of a window and its epochs.
        steps: T, of a window, in every environment. Gradients end at its beginning.
        epochs: passes over a window, at most.
        minibatches: parts into which the B environments are dealt out anew in every epoch, each
            with a step of the optimizer of its own.
        lr, last_lr: of Adam, at first, and as a share of it at last; linear between.
        gamma, lam: discount, and the lambda of generalized advantage estimation.
        clip: how far from 1 a ratio of probabilities is followed.
        value: weight of the values' squared error.
        entropy, last_entropy: weight of the entropy at first and at last; linear between.
        kl: no more epochs once the policy has moved so far from the one that acted (mean KL
            divergence over steps), from the second epoch on; None for all epochs.
        max_norm: of the gradient.
        anneal: eps of BMRUs is 1 for the first of these shares of the iterations, and falls to 0
            over the second, see ``nn.EpsAnneal``; None leaves it as it is.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    iterations: int = 60
    steps: int = 32
    epochs: int = 4
    minibatches: int = 1
    lr: float = 5e-3
    last_lr: float = 0.1
    gamma: float = 0.98
    lam: float = 0.95
    clip: float = 0.2
    value: float = 0.5
    entropy: float = 0.02
    last_entropy: float = 0.0
    kl: float | None = 0.02
    max_norm: float = 0.5
    anneal: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("iterations", "steps", "epochs", "minibatches"):
            object.__setattr__(self, name, integer(name, getattr(self, name)))
        for name, high in (
            ("last_lr", 1.0),
            ("gamma", 1.0),
            ("lam", 1.0),
            ("value", 1e6),
            ("entropy", 1e6),
            ("last_entropy", 1e6),
        ):
            self._number(name, high)
        for name in ("lr", "clip", "max_norm", *(() if self.kl is None else ("kl",))):
            self._number(name, 1e6, open_low=True)

        if self.anneal is not None and not (
            isinstance(self.anneal, tuple) and len(self.anneal) == 2
        ):
            raise TypeError(
                "anneal must be two numbers, the shares of hold and decay, got "
                f"{type(self.anneal).__name__}"
            )

    def _number(self, name: str, high: float, *, open_low: bool = False) -> None:
        found = number(name, getattr(self, name), 0.0, high, open_low=open_low)
        object.__setattr__(self, name, found)


@dataclass(frozen=True)
class PPOProgress:
    """What an iteration did.

    iteration: its number, from 1; iterations: how many there will be.
    steps: that were walked in all, those that only begin an episode not counted.
    episodes: that ended in the window; reward, length: the means of their sums of rewards and of
        their steps, NaN where none ended.
    epochs: that were gone through, the last one perhaps in part; kl: of the policy before the last
        step of the optimizer from the one that acted.
    loss, value_loss, entropy: at that step: of the policy alone, of the values, and the mean
        entropy.
    """

    iteration: int
    iterations: int
    steps: int
    episodes: int
    reward: float
    length: float
    epochs: int
    kl: float
    loss: float
    value_loss: float
    entropy: float


class PPO:
    """Trains a policy: ``PPO(policy, env, PPOSettings(iterations=60), seed=0).train()``.

    Each iteration walks ``steps`` steps in all environments, whatever ends and begins within: the
    window's states are computed again by one scan, with resets where episodes begin; nothing is
    padded, and no loop in Python runs over episodes. Steps that only begin an episode enter no
    loss. An episode that goes on where the window ends, or was truncated, is worth the critic's
    value there.

    What the recurrent state at a window's beginning should be: it is the one carried from the
    window before, a constant for the gradient. So the first epoch's probabilities are those that
    acted. After the update the window is run once more, by the new weights from its own first
    state, and that state is carried on: of what an episode has seen, the state tells what these
    weights make of it, but for what lies more than a window back, which older weights have read.

    After the last iteration the policy has the weights that acted when the mean reward of ended
    episodes was highest, eps = 0 with ``anneal``: a near-deterministic policy of discrete states
    may collapse within an update, and does not explore back.

    Args:
        policy: with a critic. It is changed in place; its optimizer is Adam (eps 1e-5).
        env: an ``Environment``, or several: TMaze, tasks.gym.Tensors. ``reset()`` is called.
        settings: see there.
        seed: of the actions and the minibatches; the environment has a seed of its own. With the
            same seeds, on the same machine and number of threads, the same bits come out.

    ``train`` may be called again after Ctrl-C, which waits for the end of the iteration (a second
    one does not). ``state_dict()`` holds all that the future depends on, the environment's and the
    generator's states included; another PPO with the same settings that loads it goes on with the
    same bits. Source: Schulman, Wolski, Dhariwal, Radford and Klimov, "Proximal policy optimization
    algorithms", 2017.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected. In
    training, ValueError where env gives a number that is not finite, and RuntimeError where the
    gradient is not: no weight has learned of it.
    """

    def __init__(
        self,
        policy: Policy,
        env: Environment,
        settings: PPOSettings | None = None,
        *,
        seed: int = 0,
    ) -> None:
        settings = PPOSettings() if settings is None else settings
        if not isinstance(policy, Policy):
            raise TypeError(f"policy must be an agents.Policy, got {type(policy).__name__}")
        if policy.critic is None:
            raise ValueError("policy must have critic=True, got one without a critic")
        if not isinstance(settings, PPOSettings):
            raise TypeError(f"settings must be PPOSettings, got {type(settings).__name__}")
        environment.check(env, policy)
        if settings.minibatches > env.batch_size:
            raise ValueError(
                f"minibatches must be at most env's batch_size, {env.batch_size}, got "
                f"{settings.minibatches}"
            )
        generator = torch.Generator().manual_seed(integer("seed", seed, 0))
        self.policy, self.settings = policy, settings
        self.iteration = self.steps = 0
        #: The highest mean reward so far, and the weights that acted then.
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.walker = Walker(policy, env, generator)
        self.optimizer = torch.optim.Adam(policy.parameters(), settings.lr, eps=1e-5, fused=True)
        self.anneal = None
        if settings.anneal is not None:
            hold, decay = settings.anneal
            self.anneal = EpsAnneal.over(policy, settings.iterations, hold=hold, decay=decay)

    def train(
        self,
        callback: Callable[[PPOProgress], object] | None = None,
        *,
        iterations: int | None = None,
    ) -> PPO:
        """Iterations up to the settings' number, or so many of them; ``callback`` gets each one's
        ``PPOProgress``. Returns itself."""
        total = self.settings.iterations
        end = nested.end_of_run(self.iteration, total, "iterations", iterations)
        while self.iteration < end:
            with sigint.whole():
                progress = self._iterate()
                if self.iteration == self.settings.iterations and self.best is not None:
                    self.policy.load_state_dict(self.best[1])
            if callback is not None:
                callback(progress)
        return self

    def _iterate(self) -> PPOProgress:
        window = self.walker.walk(self.settings.steps)
        totals, lengths = self.walker.ended(window)
        self._keep(totals)
        done = self._update(window)
        if self.anneal is not None:
            self.anneal.step()
        with torch.no_grad():
            features = (window.observation, window.start, window.reset)
            _, self.walker.state = self.policy.features(*features)
        self.iteration += 1
        self.steps += int((~window.begins).sum())
        return PPOProgress(
            self.iteration,
            self.settings.iterations,
            self.steps,
            len(totals),
            totals.mean().item(),
            lengths.mean().item(),
            **done,
        )

    def _keep(self, totals: Tensor) -> None:
        """The weights that acted, where none did better before."""
        if len(totals) == 0 or (self.anneal is not None and not self.anneal.done):
            return
        reward = totals.mean().item()
        if self.best is None or reward >= self.best[0]:
            self.best = (reward, nested.copied(dict(self.policy.state_dict())))

    def _update(self, window: Window) -> dict[str, float]:
        settings, share = self.settings, self.iteration / self.settings.iterations
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * (1 + share * (settings.last_lr - 1))
        weight = settings.entropy + share * (settings.last_entropy - settings.entropy)
        batch = None
        told: list[Tensor] = []
        for epoch in range(settings.epochs):
            for rows in self._parts(len(window.last)):
                found = self._evaluated(window, rows)
                if batch is None:  # the weights are those that acted
                    batch = self._batch(window, found if rows is None else None)
                part = batch.of(rows)
                surrogate, value_loss, entropy, kl = part.losses(*found, settings.clip)
                if epoch and settings.kl is not None and kl.item() > settings.kl:
                    return _numbers(epoch, told)
                loss = surrogate + settings.value * value_loss - weight * entropy
                self.optimizer.zero_grad()
                loss.backward()
                norm = nn.utils.clip_grad_norm_(self.policy.parameters(), settings.max_norm)
                finite.norm(norm, f"in iteration {self.iteration + 1}, epoch {epoch + 1}")
                self.optimizer.step()
                told = [kl, surrogate, value_loss, entropy]
        return _numbers(settings.epochs, told)

    def _parts(self, count: int) -> Iterator[Tensor | None]:
        """Which environments each step of the optimizer is of; None for all."""
        if self.settings.minibatches == 1:
            yield None
            return
        order = torch.randperm(count, generator=self.walker.generator)
        yield from order.tensor_split(self.settings.minibatches)

    def _evaluated(self, window: Window, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """What is said of actions (B,T,N) and values (B,T) of some environments' steps."""
        x, start, reset = window.observation, window.start, window.reset
        if rows is not None:
            rows = rows.to(x.device)
            x, reset = x[rows], reset[rows]
            start = None if start is None else nested.chosen(start, rows)
        y, _ = self.policy.features(x, start, reset)
        found = self.policy.kind.normalized(self.policy.answer(y))
        return found, self.policy.critic(y)[..., 0]

    @torch.no_grad()
    def _batch(self, window: Window, found: tuple[Tensor, Tensor] | None) -> _Batch:
        """What the epochs learn from, by the weights that acted."""
        acted, values = self._evaluated(window, None) if found is None else found
        acted, values = acted.detach(), values.detach()
        out, _ = self.policy.features(
            window.last[:, None], self.walker.state, window.last_reset[:, None]
        )
        after = self.policy.critic(out)[:, 0, 0]
        gain = advantages(window, values, after, self.settings.gamma, self.settings.lam)
        valid = (~window.begins).to(gain.dtype)
        kind, relative = self.policy.kind, standardized(gain, valid)
        return _Batch(kind, window.action, valid, acted, relative, gain + values)

    def state_dict(self, *, env: bool = True) -> dict[str, Any]:
        """All that the future depends on; a copy, which torch.save takes. Without the environment
        and the episodes under way with env=False."""
        return {
            "settings": asdict(self.settings),
            "iteration": self.iteration,
            "steps": self.steps,
            "policy": nested.copied(dict(self.policy.state_dict())),
            "optimizer": nested.copied(self.optimizer.state_dict()),
            "anneal": None if self.anneal is None else self.anneal.state_dict(),
            "best": nested.copied(self.best),
            "walker": self.walker.state_dict() if boolean("env", env) else None,
        }

    def load_state_dict(self, state: dict[str, Any], *, env: bool = True) -> None:
        """Goes on from where ``state_dict`` was called, by a PPO with the same settings, of
        which ``iterations`` may differ. The environment goes back to its state then, too; with
        env=False, episodes begin in the one that is here, which may be another."""
        nested.check(state, self.state_dict(env=False), "iterations")
        self.walker.go_on(state["walker"], env)  # the environment may refuse its part
        self.iteration, self.steps = state["iteration"], state["steps"]
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(nested.copied(state["optimizer"]))
        if self.anneal is not None:
            self.anneal.load_state_dict(state["anneal"])
        self.best = nested.copied(state["best"])


@dataclass
class _Batch:
    """Of a window: actions, which steps count, and by the weights that acted: what they said of
    actions, normalized advantages, and the returns that values should be."""

    kind: Actions
    action: Tensor
    valid: Tensor
    acted: Tensor
    gain: Tensor
    returns: Tensor

    def of(self, rows: Tensor | None) -> _Batch:
        if rows is None:
            return self
        rows = rows.to(self.valid.device)
        return _Batch(
            self.kind,
            self.action[rows],
            self.valid[rows],
            self.acted[rows],
            self.gain[rows],
            self.returns[rows],
        )

    def losses(
        self, found: Tensor, values: Tensor, clip: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Means over the steps that count: of the clipped surrogate, of the values' squared error,
        of the entropy, and of the KL divergence from the policy that acted."""
        kind, action = self.kind, self.action
        before = kind.log_density(self.acted, action)
        ratio = (kind.log_density(found, action) - before).exp()
        clipped = ratio.clamp(1 - clip, 1 + clip)
        surrogate = -torch.minimum(ratio * self.gain, clipped * self.gain)
        kl = kind.divergence(self.acted, found.detach())
        count = self.valid.sum().clamp(min=1)
        means = (surrogate, (values - self.returns).square(), kind.entropy(found), kl)
        return tuple((x * self.valid).sum() / count for x in means)


def _numbers(epochs: int, told: list[Tensor]) -> dict[str, float]:
    names = ("kl", "loss", "value_loss", "entropy")
    values = (x.item() for x in told) if told else [math.nan] * len(names)
    return {"epochs": epochs, **dict(zip(names, values, strict=True))}
