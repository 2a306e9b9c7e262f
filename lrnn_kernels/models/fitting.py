"""How autoencoders learn: Adam, in batches of rows in random order, at a rate that falls where the
loss no longer does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..calls import sigint
from ..options import integer, number
from . import reduced, rows
from .reduced import Field
from .rows import Data, Rows

#: What a rate falls by, ReduceLROnPlateau's.
_FACTOR = 0.1


@dataclass
class History:
    """How a fit went, and where it is: given to ``fit`` again it goes on, epoch for epoch as if it
    had never ended.

    Args:
        train, held_out: the loss of each epoch: the mean of its batches, and that of the rows held
            out once it is over (none of them where nothing is).
        lr: the learning rate that each epoch had.
        seconds: the time that all took.

    ``state_dict`` and ``load_state_dict`` are of plain data, tensors and the optimizer's state;
    the model's parameters are its own, to be kept beside it.
    """

    train: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: float = 0.0
    #: What must be the same for what is left: the seed and the numbers of rows.
    _of: dict[str, int] | None = field(default=None, repr=False)
    _optimizer: Any = field(default=None, repr=False)
    _schedule: Any = field(default=None, repr=False)
    _loaded: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.train)

    def state_dict(self) -> dict[str, Any]:
        state = {name: list(getattr(self, name)) for name in ("train", "held_out", "lr")} | {
            "seconds": self.seconds,
            "of": self._of,
        }
        for name in ("optimizer", "schedule"):
            part = getattr(self, f"_{name}")
            loaded = self._loaded or {}
            state[name] = loaded.get(name) if part is None else part.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.train, self.held_out, self.lr = (list(state[k]) for k in ("train", "held_out", "lr"))
        self.seconds, self._of = state["seconds"], state["of"]
        self._optimizer = self._schedule = None
        self._loaded = {name: state[name] for name in ("optimizer", "schedule")}

    def _begin(self, model: torch.nn.Module, of: dict[str, int], lr: float, patience: int) -> None:
        if self._of is not None and self._of != of:
            raise ValueError(f"history must be of the same rows and seed, {of}, got {self._of}")
        self._of = of
        parameters = list(model.parameters())
        if self._optimizer is not None:
            mine = [p for group in self._optimizer.param_groups for p in group["params"]]
            if len(mine) != len(parameters) or any(
                a is not b for a, b in zip(mine, parameters, strict=True)
            ):
                raise ValueError("history must be of this model, got another one's")
            return
        self._optimizer = torch.optim.Adam(parameters, lr, fused=_fused(parameters))
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimizer, patience=patience, factor=_FACTOR
        )
        if self._loaded is not None and self._loaded["optimizer"] is not None:
            self._optimizer.load_state_dict(self._loaded["optimizer"])
            self._schedule.load_state_dict(self._loaded["schedule"])
        self._loaded = None


def _fused(parameters: list[Tensor]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)


def fit(
    model: torch.nn.Module,
    x: Data,
    c: Data | None,
    *,
    size: int,
    context: int,
    x_dot: Data | None = None,
    g: Data | None = None,
    f: Field | None = None,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    epochs: int = 900,
    batch: int = 400,
    lr: float = 1e-3,
    patience: int = 50,
    held_out: float = 0.1,
    seed: int = 0,
    progress: Callable[[History], object] | None = None,
    history: History | None = None,
) -> History:
    """``ConstrainedAutoencoder.fit``, of any module with ``project(x, c)`` for x (N,size) and c
    (N,context), and ``jvp`` where velocities count."""
    epochs, batch = integer("epochs", epochs, 0), integer("batch", batch)
    patience, seed = integer("patience", patience, 0), integer("seed", seed, 0)
    lr = number("lr", lr, 0.0, math.inf, open_low=True)
    share = number("held_out", held_out, 0.0, 1.0, open_high=True)
    names = ("reconstruction", "aligned", "gamma")
    weights = tuple(
        number(name, weight, 0.0, math.inf) for name, weight in zip(names, weights, strict=True)
    )
    for name, call in (("f", f), ("progress", progress)):
        if call is not None and not callable(call):
            raise TypeError(f"{name} must be callable, got {type(call).__name__}")
    if history is not None and not isinstance(history, History):
        raise TypeError(f"history must be a History, got {type(history).__name__}")
    history = History() if history is None else history
    data = rows.joined(x, c, size, context, x_dot=x_dot, g=g)
    kept, tested = _split(data, share, seed)
    history._begin(
        model, {"rows": len(data.x), "held_out": len(tested), "seed": seed}, lr, patience
    )

    def loss(picked: Tensor) -> Tensor:
        contexts = None if data.c is None else data.c[picked]
        others = {name: value[picked] for name, value in data.others.items()}
        return reduced.total(model, data.x[picked], contexts, f=f, weights=weights, **others)

    optimizer = history._optimizer
    while history.epoch < epochs:
        with sigint.whole():
            started = time.perf_counter()
            rate = optimizer.param_groups[0]["lr"]
            order = kept[_shuffled(len(kept), seed, history.epoch).to(kept.device)]
            found = _epoch(optimizer, loss, order.split(batch))
            if len(tested):
                history.held_out.append(_mean(loss, tested.split(batch)))
            history._schedule.step(history.held_out[-1] if len(tested) else found)
            history.lr.append(rate)
            history.seconds += time.perf_counter() - started
            history.train.append(found)
        if progress is not None:
            progress(history)
    return history


def _epoch(optimizer, loss: Callable[[Tensor], Tensor], batches: tuple[Tensor, ...]) -> float:
    """The mean loss of an epoch's rows."""
    losses = []
    for picked in batches:
        found = loss(picked)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        losses.append(found.detach() * len(picked))
    mean = (torch.stack(losses).sum() / sum(map(len, batches))).item()
    if not math.isfinite(mean):
        raise FloatingPointError(f"the loss is {mean}: x may hold such values, or lr be too high")
    return mean


@torch.no_grad()
def _mean(loss: Callable[[Tensor], Tensor], batches: tuple[Tensor, ...]) -> float:
    total = sum(loss(picked) * len(picked) for picked in batches)
    return (total / sum(map(len, batches))).item()


def _split(data: Rows, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers of the rows that are learned from, and of those held out: whole trajectories where x
    is a list of them."""
    ends, device = data.ends, data.x.device
    units = len(data.x) if ends is None else len(ends)
    count = round(share * units)
    if share and not 0 < count < units:
        raise ValueError(
            f"held_out must leave some of the {units} {'rows' if ends is None else 'trajectories'} "
            f"on either side, got {share:g}"
        )
    order = _shuffled(units, seed, -1)
    if ends is None:
        return order[count:].sort().values.to(device), order[:count].sort().values.to(device)
    tested = torch.zeros(len(data.x), dtype=torch.bool)
    for i in order[:count].tolist():
        tested[ends[i - 1] if i else 0 : ends[i]] = True
    return (~tested).nonzero()[:, 0].to(device), tested.nonzero()[:, 0].to(device)


def _shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """An order for each seed and epoch, whatever was drawn before."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch + 1) % 2**63)
    return torch.randperm(count, generator=generator)
