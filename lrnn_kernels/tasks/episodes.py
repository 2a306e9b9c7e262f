"""What environments of episodes have in common, many at once as tensors: seeds, beginnings, ends,
and states to go back to."""

from __future__ import annotations

import torch
from torch import Tensor

from ..options import integer

_SEEDS = 2**62  # below it, seed + i is an int64


class Episodes:
    """B environments. One that is over stays where it is until ``reset``.

    Who inherits has ``_begin(which)``, which draws an episode from ``seed`` and ``episode`` of each
    of these; ``_observe()``; and the names of the tensors that its future depends on in ``STATE``.
    """

    STATE: tuple[str, ...] = ("seed", "episode", "elapsed", "done")
    WHAT = "environments"  # as errors call them

    def __init__(self, batch_size: int) -> None:
        self.batch_size = integer("batch_size", batch_size)
        self.seed, self.elapsed = (torch.zeros(batch_size, dtype=torch.int64) for _ in range(2))
        self.episode = torch.full((batch_size,), -1)
        self.done = torch.ones(batch_size, dtype=torch.bool)
        self._rows = torch.arange(batch_size)
        self._any_done = True

    def reseed(self, seed: int | Tensor | None = None) -> None:
        """Episodes from here on are those of another seed, the first one next: an integer, of which
        environment i has ``seed + i``, or one for each, int64 (B,); a random one if None."""
        if seed is None:
            seed = int(torch.randint(_SEEDS, ()))
        if isinstance(seed, Tensor):
            if seed.dtype != torch.int64 or seed.shape != (self.batch_size,):
                raise ValueError(
                    f"seed must be an integer or int64 of shape ({self.batch_size},), got "
                    f"{seed.dtype} of shape {tuple(seed.shape)}"
                )
            self.seed.copy_(seed)
        else:
            if integer("seed", seed, 0) >= _SEEDS:
                raise ValueError(f"seed must be below 2^62, got {seed}")
            self.seed.copy_(seed + self._rows)
        self.episode.fill_(-1)
        self._forget()
        self.done.fill_(True)
        self._any_done = True

    def reset(self, mask: Tensor | None = None) -> Tensor:
        """Begins an episode in every environment, or where mask (B,) bool is True; the others stay
        where they are. Returns the observations of all."""
        if mask is None:
            which = self._rows
        else:
            check(mask, "mask", torch.bool, self.batch_size)
            which = mask.nonzero()[:, 0]
        if len(which):
            self._begin(which)
        self._any_done = bool(self.done.any())
        return self._observe()

    def get_state(self) -> dict[str, Tensor]:
        """All that the future depends on, but for the actions; a copy."""
        return {name: getattr(self, name).clone() for name in self.STATE}

    def set_state(self, state: dict[str, Tensor]) -> Tensor:
        """Goes back to what ``get_state`` gave, of as many; returns the observations."""
        if not isinstance(state, dict) or state.keys() != set(self.STATE):
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"state must have the keys {', '.join(self.STATE)}, got {found}")
        for name, x in state.items():
            mine = getattr(self, name)
            check(x, f"state[{name!r}]", mine.dtype, *mine.shape)
        for name, x in state.items():
            getattr(self, name).copy_(x)
        self._forget()
        self._any_done = bool(self.done.any())
        return self._observe()

    def _begun(self, begin: Tensor | None) -> Tensor | None:
        """Which ones ``step`` begins; raises where others are over."""
        if begin is not None:
            check(begin, "begin", torch.bool, self.batch_size)
        if self._any_done:
            over = (self.done if begin is None else self.done & ~begin).nonzero()[:, 0].tolist()
            if over:
                raise RuntimeError(f"step needs reset: episodes are over in {self.WHAT} {over[:8]}")
        return None if begin is None else begin.nonzero()[:, 0]

    def _begin(self, which: Tensor) -> None:
        raise NotImplementedError

    def _observe(self) -> Tensor:
        raise NotImplementedError

    def _forget(self) -> None:
        """What was drawn ahead is no longer right."""


def check(x: object, name: str, dtype: torch.dtype, *shape: int) -> None:
    """Raises TypeError or ValueError where x is not such a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if x.dtype != dtype or x.shape != shape:
        raise ValueError(
            f"{name} must be {dtype} of shape {tuple(shape)}, got {x.dtype} of shape "
            f"{tuple(x.shape)}"
        )
