"""Layers in TorchRL's policies and losses, as its own LSTMModule and GRUModule are.

memory = RecurrentModule(nn.BMRU(4, 64), in_key="observation", out_key="features")
env = env.append_transform(memory.make_tensordict_primer())

Needs torchrl: pip install "lrnn-kernels[torchrl]". Raises ImportError without it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..extras import needs
from ..nn import members

with needs("lrnn_kernels.integrations.torchrl", "torchrl", "tensordict", extra="torchrl"):
    from tensordict import TensorDictBase
    from tensordict.nn import TensorDictModuleBase, dispatch
    from torchrl.data import Unbounded
    from torchrl.envs import TensorDictPrimer
    from torchrl.modules import recurrent_mode

__all__ = ["RecurrentModule"]

#: Where states are by default, numbered where there are several.
_STATE = "recurrent_state"
_INIT = "is_init"

Key = str | tuple[str, ...]


class RecurrentModule(TensorDictModuleBase):
    """A recurrent layer of lrnn_kernels.nn, or a composition of them, between keys of a TensorDict.

    Within torchrl.modules.set_recurrent_mode(True), as TorchRL's losses do, the last dimension of
    the TensorDict is time, and a sequence is one call of the layer, however many episodes it
    holds; else it is one step. ``is_init``, (...,1) bool as torchrl.envs.InitTracker writes it, is
    where episodes start: the state there is the layer's initial one, a learned one too.

    Keys of states: one for each tensor of the layer's state, in order, (...,L,H) for a state
    (L,B,H), and a pair of real numbers (...,L,H,2) for a complex one. A step writes the state after
    it. A sequence starts from the state at its first step, and writes its last state at its last
    step and 0 before: stored states within it are not read, also where an episode starts.

    Args:
        layer: whose ``step`` and call are used, of either order of time and batch.
        in_key, out_key (keywords): of what the layer reads and gives; states then are
            "recurrent_state", or "recurrent_state_0" and so on where there are several, after the
            step ("next", ...).
        in_keys, out_keys (keywords): all of them, in place of these: of the input, then the states;
            of the output, then the states after it. "is_init" is added to in_keys.
        default_recurrent_mode (keyword): the mode where no set_recurrent_mode says one.

    Raises TypeError or ValueError for wrong arguments, and RuntimeError for a bidirectional layer.
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        in_key: Key | None = None,
        in_keys: list[Key] | None = None,
        out_key: Key | None = None,
        out_keys: list[Key] | None = None,
        default_recurrent_mode: bool = False,
    ) -> None:
        super().__init__()
        if not members.is_ours(layer):
            raise TypeError(
                "layer must be a recurrent layer of lrnn_kernels.nn or a composition of them, got "
                f"{type(layer).__name__}"
            )
        self.layer = layer
        like = next(layer.parameters())
        with torch.no_grad():
            x = torch.zeros(1, layer.input_size, dtype=like.dtype, device=like.device)
            _, state = layer.step(x)  # raises for a bidirectional one
        leaves = pytree.tree_leaves(state)
        #: The state with None in place of tensors: a form that is copied and pickled.
        self._form = pytree.tree_map(lambda _: None, state)
        #: Shape, without the batch, and dtype of each state, and whether it is complex.
        self._kinds = [(_stored(h)[0].shape, h.real.dtype, h.is_complex()) for h in leaves]
        names = [_STATE] if len(leaves) == 1 else [f"{_STATE}_{k}" for k in range(len(leaves))]
        self.in_keys = _keys("in_key", in_key, in_keys, names)
        self.out_keys = _keys("out_key", out_key, out_keys, [("next", name) for name in names])
        if _INIT not in self.in_keys:
            self.in_keys = [*self.in_keys, _INIT]
        self._mode = bool(default_recurrent_mode)

    @property
    def recurrent_mode(self) -> bool:
        """Whether a call is a sequence now."""
        mode = recurrent_mode()
        return self._mode if mode is None else bool(mode)

    def make_tensordict_primer(self) -> TensorDictPrimer:
        """The transform that adds the states to an environment's TensorDicts, 0 at its reset.

        Raises RuntimeError where the states after a step are not ("next", KEY) of those before.
        """
        before, after = self.in_keys[1:-1], self.out_keys[1:]
        if [("next", *_path(key)) for key in before] != [_path(key) for key in after]:
            raise RuntimeError(
                "the keys of states in out_keys must be ('next', KEY) of those in in_keys, got "
                f"{before} and {after}"
            )
        specs = {
            key: Unbounded(shape=shape, dtype=dtype)
            for key, (shape, dtype, _) in zip(before, self._kinds, strict=True)
        }
        return TensorDictPrimer(specs, expand_specs=True)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        steps = tensordict.shape[-1:] if self.recurrent_mode else ()
        if self.recurrent_mode and not tensordict.ndim:
            raise ValueError("tensordict must have a dimension of time, got shape ()")
        shape = tensordict.shape[: tensordict.ndim - len(steps)]
        batch = shape.numel()
        value = tensordict.get(self.in_keys[0])
        x = value.reshape(batch, *steps, value.shape[-1])
        reset = tensordict.get(_INIT, None)
        if reset is None:
            raise ValueError(
                f"tensordict must hold {_INIT!r}, which says where episodes begin: the environment "
                "needs the transform InitTracker()"
            )
        reset = reset.reshape(batch, *steps)
        state = self._state(tensordict, batch, steps)
        if state is None and not steps and not bool(reset.all()):
            raise ValueError(
                f"tensordict must hold {', '.join(map(repr, self.in_keys[1:-1]))} where an episode "
                "goes on, or it would be forgotten: the environment needs the transform "
                "make_tensordict_primer()"
            )
        if steps:
            order = (lambda h: h) if self.layer.batch_first else (lambda h: h.transpose(0, 1))
            out, after = self.layer(order(x), state, order(reset))
            out = order(out)
        else:
            out, after = self.layer.step(x, state, reset)
        tensordict.set(self.out_keys[0], out.reshape(*shape, *steps, out.shape[-1]))
        for key, h in zip(self.out_keys[1:], pytree.tree_leaves(after), strict=True):
            h = _stored(h)
            if steps:
                h = torch.cat(
                    [h.new_zeros(batch, steps[0] - 1, *h.shape[1:]), h.unsqueeze(1)], dim=1
                )
            tensordict.set(key, h.reshape(*shape, *h.shape[1:]))
        return tensordict

    def _state(self, tensordict: TensorDictBase, batch: int, steps: tuple) -> Any:
        """The layer's state in front of a call; None where none is stored."""
        found = []
        for key, (shape, _, is_complex) in zip(self.in_keys[1:-1], self._kinds, strict=True):
            h = tensordict.get(key, None)
            if h is None:
                return None
            h = h.reshape(batch, *steps, *shape)
            h = (h[:, 0] if steps else h).transpose(0, 1)
            found.append(torch.view_as_complex(h.contiguous()) if is_complex else h)
        return pytree.tree_unflatten(found, pytree.tree_structure(self._form))


def _stored(h: Tensor) -> Tensor:
    """A state (L,B,H) as a TensorDict has it, (B,L,H), of real numbers."""
    h = h.transpose(0, 1)
    return torch.view_as_real(h) if h.is_complex() else h


def _path(key: Key) -> tuple[str, ...]:
    return key if isinstance(key, tuple) else (key,)


def _keys(name: str, one: Key | None, all_: list[Key] | None, states: list[Key]) -> list[Key]:
    """The keys of a module's inputs or outputs, from one or from all of them."""
    if (one is None) == (all_ is None):
        raise ValueError(f"either {name} or {name}s must be given, got {one!r} and {all_!r}")
    if all_ is None:
        return [one, *states]
    found = [key for key in all_ if key != _INIT]
    if len(found) != 1 + len(states):
        raise ValueError(f"{name}s must be a key and {len(states)} of states, got {list(all_)}")
    return found
