"""The actor-critic of the neuromodulated nets: real actions, proximal by an adaptive penalty."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..calls import sigint
from ..nn.members import State
from ..options import boolean, integer, number
from . import finite, nested
from .actions import REAL, normal
from .environment import PreviousStep
from .reader import Actor, Reader
from .window import Walker, Window, advantages, standardized

#: Of beta: its first value, its limits, its factor, and from which multiples of the target on it
#: moves; the multiple of the target beyond which an update is undone.
_BETA, _LIMIT, _FACTOR, _LOW, _HIGH, _UNDO = 1.0, 35.0, 1.5, 0.5, 2.0, 4.0


@dataclass(frozen=True)
class ActorCriticSettings:
    """How ``ActorCritic`` trains; the defaults are the paper's for its first benchmark.

    Args:
        iterations: of a walk and its epochs, 20,000 episodes in the paper.
        steps: T, of a walk, in every environment. One more than an episode's: the step that begins
            the next one is one of them.
        window: steps after which gradients end; states are carried on.
        epochs: steps of the actor's optimizer in an iteration, each of the whole walk.
        value_epochs, value_batch, value_walks: passes of the critic over the last so many walks,
            in batches of so many environments of one walk.
        lr, value_lr: of Adam, for the actor and the critic.
        last_lr: both at last, as a share of what they are at first; linear between.
        gamma, lam: discount, and the lambda of generalized advantage estimation. The critic's
            rewards are multiplied with 1 - gamma.
        kl: the target of the mean KL divergence from the policy that acted.
        penalty: weight of relu(KL - 2 kl)^2.
        adapt_lr: whether the actor's lr, too, is divided by 1.5 for the next iteration where the KL
            was more than twice its target, and multiplied up to ``lr`` where it was below half:
            an lr that is large at first is soon too large for actions that hardly deviate, of which
            every step would be undone. The paper's is constant.
        reward, observation: what these are multiplied with where the networks read them.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    iterations: int = 400
    steps: int = 401
    window: int = 200
    epochs: int = 20
    value_epochs: int = 10
    value_batch: int = 25
    value_walks: int = 3
    lr: float = 2e-4
    value_lr: float = 6e-3
    last_lr: float = 1.0
    gamma: float = 0.998
    lam: float = 0.98
    kl: float = 0.003
    penalty: float = 50.0
    adapt_lr: bool = False
    reward: float = 1.0
    observation: float = 1.0

    def __post_init__(self) -> None:
        counts = ("iterations", "steps", "window", "epochs")
        for name in (*counts, "value_epochs", "value_batch", "value_walks"):
            object.__setattr__(self, name, integer(name, getattr(self, name)))
        for name, high, open_low in (
            ("lr", 1e6, True),
            ("value_lr", 1e6, True),
            ("last_lr", 1.0, False),
            ("gamma", 1.0, False),
            ("lam", 1.0, False),
            ("kl", 1e6, True),
            ("penalty", 1e6, False),
            ("reward", 1e6, False),
            ("observation", 1e6, True),
        ):
            found = number(name, getattr(self, name), 0.0, high, open_low=open_low)
            object.__setattr__(self, name, found)
        boolean("adapt_lr", self.adapt_lr)
        if self.gamma == 1:
            raise ValueError("gamma must be below 1: rewards are multiplied with 1 - gamma, got 1")


@dataclass(frozen=True)
class ActorCriticProgress:
    """What an iteration did.

    iteration: its number, from 1; iterations: how many there will be.
    steps: that were walked in all, those that only begin an episode not counted.
    episodes: that ended in the walk; reward, length: the means of their sums of rewards and of
        their steps, NaN where none ended.
    epochs: of the actor; kl: of the actor after them from the one that acted; undone: whether there
        was one more, which went too far.
    beta, lr: the weight of the next iteration's KL, and its learning rate, ``last_lr`` aside.
    loss, value_loss: of the last steps of the optimizers.
    deviation: of actions, the mean over steps and channels.
    """

    iteration: int
    iterations: int
    steps: int
    episodes: int
    reward: float
    length: float
    epochs: int
    kl: float
    undone: bool
    beta: float
    lr: float
    loss: float
    value_loss: float
    deviation: float


class ActorCritic:
    """Trains an actor of real actions and its critic:
    ``ActorCritic(actor, critic, env, ActorCriticSettings(), seed=0).train()``.

    The actor answers means and log-variances, to which -1 is added; actions are drawn from these
    normal distributions. Both networks read what ``PreviousStep`` observes: of an NMDNet the
    modulator reads the action, reward and observation before and the main network the observation;
    a RecurrentNet reads all of it.

    Each iteration walks ``steps`` steps in all environments, whatever begins and ends within. The
    actor's loss, A the advantages standardized over the walk, p and p0 the densities now and then:

        mean(-A p/p0) + beta KL + penalty relu(KL - 2 target)^2,    KL the mean of KL(p0 || p)

    is followed for ``epochs`` steps of Adam, or until one takes the KL beyond 4 times its target,
    or to no number: weights and optimizer then go back to what they were before that step. For the
    next iteration beta is multiplied with 1.5 where the KL was more than twice its target, and
    divided by it below half of it, within [1/35, 35]. The critic follows the squared error from the
    lambda-returns, on the last ``value_walks`` walks. A walk's first states are those that the
    weights before made of what came before; the states that are carried on are computed again by
    the new weights, as PPO's.

    Args:
        actor: a models.NMDNet, RecurrentNet or a module called in the same way, with heads of 2 A
            outputs in all: means, then log-variances. Changed in place.
        critic: another one, with one output; it shares no parameters with the actor.
        env: of real actions, such as tasks.adaptation's. ``reset()`` is called.
        settings: see there.
        seed: of the actions and the critic's batches; the environment has a seed of its own. With
            the same seeds, on the same machine and number of threads, the same bits come out.

    ``train`` may be called again after Ctrl-C, which waits for the end of the iteration (a second
    one does not). ``state_dict()`` holds all that the future depends on; another one with the same
    settings that loads it goes on with the same bits.

    source  Vecoven, Ernst, Wehenkel and Drion, "Introducing neuromodulation in deep neural networks
            to learn adaptive behaviours", PLoS ONE 2020; the penalty is the second variant of
            Schulman, Wolski, Dhariwal, Radford and Klimov, "Proximal policy optimization
            algorithms", 2017.

    Raises TypeError or ValueError, naming the argument, what was got and what was expected.
    """

    def __init__(
        self,
        actor: nn.Module,
        critic: nn.Module,
        env: Any,
        settings: ActorCriticSettings | None = None,
        *,
        seed: int = 0,
    ) -> None:
        settings = ActorCriticSettings() if settings is None else settings
        if not isinstance(settings, ActorCriticSettings):
            raise TypeError(f"settings must be ActorCriticSettings, got {type(settings).__name__}")
        generator = torch.Generator().manual_seed(integer("seed", seed, 0))
        env = PreviousStep(env, reward=settings.reward, observation=settings.observation)
        self.actor = Actor(actor, env)
        seen = env.env.observation_size
        before = env.observation_size - seen
        self.critic = Reader("critic", critic, before=before, observation=seen, outputs=1)
        if {*map(id, actor.parameters())} & {*map(id, critic.parameters())}:
            raise ValueError("critic must share no parameters with actor, got some of actor's")
        self.settings, self.beta, self.lr_share = settings, _BETA, 1.0
        self.iteration = self.steps = 0
        self.walker = Walker(self.actor, env, generator)
        self.optimizer = torch.optim.Adam(actor.parameters(), settings.lr, fused=True)
        self.value_optimizer = torch.optim.Adam(critic.parameters(), settings.value_lr, fused=True)
        #: The critic's state where the walk goes on, and the walks it learns from.
        self.value_state: State | None = None
        self.walks: list[dict[str, Any]] = []

    def train(
        self,
        callback: Callable[[ActorCriticProgress], object] | None = None,
        *,
        iterations: int | None = None,
    ) -> ActorCritic:
        """Iterations up to the settings' number, or so many of them; ``callback`` gets each one's
        ``ActorCriticProgress``. Returns itself."""
        total = self.settings.iterations
        end = nested.end_of_run(self.iteration, total, "iterations", iterations)
        while self.iteration < end:
            with sigint.whole():
                progress = self._iterate()
            if callback is not None:
                callback(progress)
        return self

    def _iterate(self) -> ActorCriticProgress:
        settings = self.settings
        share = 1 + self.iteration / settings.iterations * (settings.last_lr - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * share * self.lr_share
        for group in self.value_optimizer.param_groups:
            group["lr"] = settings.value_lr * share
        window = self.walker.walk(settings.steps)
        totals, lengths = self.walker.ended(window)
        batch = self._batch(window)
        told = self._improve(window, batch)
        told |= self._evaluate(window, batch)
        self.iteration += 1
        self.steps += int(batch["valid"].sum())
        return ActorCriticProgress(
            self.iteration,
            settings.iterations,
            self.steps,
            len(totals),
            totals.mean().item(),
            lengths.mean().item(),
            **told,
        )

    @torch.no_grad()
    def _batch(self, window: Window) -> dict[str, Tensor]:
        """By the networks before the update: which steps count, the distributions that acted,
        standardized advantages, and the returns that values should be."""
        settings = self.settings
        x, reset = window.observation, window.reset
        old, _ = self.actor(x, window.start, reset)
        values, state = self.critic(x, self.value_state, reset)
        values = values[..., 0]
        after, _ = self.critic.step(window.last, state, window.last_reset)
        window = replace(window, reward=(1 - settings.gamma) * window.reward)
        gain = advantages(window, values, after[:, 0], settings.gamma, settings.lam)
        valid = (~window.begins).to(gain.dtype)
        return {
            "valid": valid,
            "old": old,
            "gain": standardized(gain, valid),
            "returns": gain + values,
        }

    def loss(self, window: Window, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(loss, KL) of the actor, on a walk."""
        settings, valid = self.settings, batch["valid"]
        out, _ = self.actor(window.observation, window.start, window.reset, settings.window)
        before = REAL.log_density(batch["old"], window.action)
        ratio = (REAL.log_density(out, window.action) - before).exp()
        surrogate = -_mean(ratio * batch["gain"], valid)
        kl = _mean(REAL.divergence(batch["old"], out), valid)
        over = (kl - 2 * settings.kl).relu().square()
        return surrogate + self.beta * kl + settings.penalty * over, kl

    def _improve(self, window: Window, batch: dict[str, Tensor]) -> dict[str, Any]:
        """The actor's epochs, and what follows from how far it moved."""
        target, valid = self.settings.kl, batch["valid"]
        kept, epochs = self._weights(), 0
        for _ in range(self.settings.epochs):
            loss, kl = self.loss(window, batch)
            if _beyond(kl.item(), _UNDO * target):
                break
            kept = self._weights()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            epochs += 1
        out, self.walker.state = self._after(window)
        kl = moved = _mean(REAL.divergence(batch["old"], out), valid).item()
        if undone := _beyond(moved, _UNDO * target):
            self.actor.net.load_state_dict(kept[0])
            self.optimizer.load_state_dict(kept[1])
            out, self.walker.state = self._after(window)
            kl = _mean(REAL.divergence(batch["old"], out), valid).item()
        self._adapt(moved / target)
        return {
            "epochs": epochs - undone,
            "kl": kl,
            "undone": undone,
            "beta": self.beta,
            "lr": self.settings.lr * self.lr_share,
            "loss": loss.item(),
            "deviation": normal(out)[1].div(2).exp().mean().item(),
        }

    def _adapt(self, moved: float) -> None:
        """The next iteration's beta and learning rate, after a KL of so many times its target."""
        if moved < _LOW:
            self.beta = max(self.beta / _FACTOR, 1 / _LIMIT)
        elif _beyond(moved, _HIGH):
            self.beta = min(self.beta * _FACTOR, _LIMIT)
        if self.settings.adapt_lr:
            if moved < _LOW:
                self.lr_share = min(self.lr_share * _FACTOR, 1.0)
            elif _beyond(moved, _HIGH):
                self.lr_share = self.lr_share / _FACTOR

    @torch.no_grad()
    def _after(self, window: Window) -> tuple[Tensor, State]:
        """What the actor answers now, and its last state."""
        return self.actor(window.observation, window.start, window.reset)

    def _weights(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The actor's, and its optimizer's state; copies."""
        return nested.copied((dict(self.actor.net.state_dict()), self.optimizer.state_dict()))

    def _evaluate(self, window: Window, batch: dict[str, Tensor]) -> dict[str, float]:
        """The critic's epochs."""
        settings = self.settings
        walk = {"x": window.observation, "reset": window.reset, "start": self.value_state}
        self.walks.append({**walk, "valid": batch["valid"], "returns": batch["returns"]})
        del self.walks[: -settings.value_walks]
        count = math.ceil(len(window.last) / settings.value_batch)
        for _ in range(settings.value_epochs):
            batches = [
                (walk, rows)
                for walk in self.walks
                for rows in self._order(len(window.last)).tensor_split(count)
            ]
            for k in self._order(len(batches)).tolist():
                loss = self._value_loss(*batches[k])
                self.value_optimizer.zero_grad()
                loss.backward()
                where = f"of the critic in iteration {self.iteration + 1}"
                finite.gradient(self.critic.parameters(), where)
                self.value_optimizer.step()
        with torch.no_grad():
            _, self.value_state = self.critic(window.observation, self.value_state, window.reset)
        return {"value_loss": loss.item()}

    def _value_loss(self, walk: dict[str, Any], rows: Tensor) -> Tensor:
        rows = rows.to(walk["valid"].device)
        start, valid = walk["start"], walk["valid"][rows]
        start = None if start is None else nested.chosen(start, rows)
        values, _ = self.critic(walk["x"][rows], start, walk["reset"][rows], self.settings.window)
        return _mean((values[..., 0] - walk["returns"][rows]).square(), valid)

    def _order(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.walker.generator)

    def state_dict(self, *, env: bool = True) -> dict[str, Any]:
        """All that the future depends on; a copy, which torch.save takes. Without the environment
        and the episodes under way with env=False."""
        return {
            "settings": asdict(self.settings),
            "iteration": self.iteration,
            "steps": self.steps,
            "beta": self.beta,
            "actor": nested.copied(dict(self.actor.net.state_dict())),
            "critic": nested.copied(dict(self.critic.net.state_dict())),
            "optimizer": nested.copied(self.optimizer.state_dict()),
            "lr_share": self.lr_share,
            "value_optimizer": nested.copied(self.value_optimizer.state_dict()),
            "value_state": nested.copied(self.value_state) if boolean("env", env) else None,
            "walks": nested.copied(self.walks) if env else [],
            "walker": self.walker.state_dict() if env else None,
        }

    def load_state_dict(self, state: dict[str, Any], *, env: bool = True) -> None:
        """Goes on from where ``state_dict`` was called, by one with the same settings, of
        which ``iterations`` may differ. The environment goes back to its state then, too; with
        env=False, episodes begin in the one that is here, which may be another."""
        nested.check(state, self.state_dict(env=False), "iterations")
        self.walker.go_on(state["walker"], env)  # the environment may refuse its part
        self.actor.net.load_state_dict(state["actor"])
        self.critic.net.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(nested.copied(state["optimizer"]))
        self.value_optimizer.load_state_dict(nested.copied(state["value_optimizer"]))
        for name in ("iteration", "steps", "beta", "lr_share"):
            setattr(self, name, state[name])
        kept = (state["value_state"], state["walks"]) if env else (None, [])
        self.value_state, self.walks = nested.copied(kept)


def _mean(x: Tensor, valid: Tensor) -> Tensor:
    """Over the steps that count."""
    return (x * valid).sum() / valid.sum().clamp(min=1)


def _beyond(x: float, limit: float) -> bool:
    """Also what is no number."""
    return not x <= limit
