"""The spiking recurrent cell trained in the integers that its hardware computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .. import fixed_point
from ..calls import arguments
from ..cells.linear import linear_scan
from ..options import boolean, integer, number
from . import checks

#: Of the current: I <- I - ((I>>4) + (I>>5)) + total.
LEAK = 1 - 1 / 16 - 1 / 32
_ONE = 1024.0  # h and h_s stand for 1024ths
_LANES = 65535  # neurons that one call of the golden model takes
_EXACT = 2**24  # below it, sums of integers are exact in float32


class IntegerSRC(nn.Module):
    """Layers of the SRC in fixed point, bit for bit the FPGA's neurons (equations in
    ``lrnn_kernels.fixed_point``), with gradients: what is trained is what will run.

        layer = nn.IntegerSRC(784, 100, levels=8)
        spikes = layer(inputs)         # (T,B,784) of 0 and 1 -> (T,B,100)
        network = layer.network()      # fixed_point.Network, for the golden model and for VHDL

    Weights are trained in float and used as integers: round(levels W), W held to [-1, 1]. Gradients
    are the SRC's detached rule, through the current alone (Geeter, Ernst and Drion 2024): with
    s = ``softness levels``, the derivative of a spike by its current is (1 - h^2) (1 - tanh^2(I /
    s)) / s, that of I by the current before 1 - 1/16 - 1/32, and rounding counts as the identity.
    No gradient pushes a weight that is at the edge further out. They are gradients of a surrogate:
    ``gradcheck`` finds others.

    Neurons start at rest in every call, as the circuit's do with every image. All neurons share the
    hardware's bias. Integers run on the CPU, in float32 or float64.

    Args:
        input_size, hidden_size: spikes in, and neurons of a layer.
        levels: the largest integer weight, 1 to 32767, one number or one for each layer: 256 is the
            paper's reference, 16 its "5-bit" and 8 its "4-bit" weights.
        num_layers (keyword): each reads the spikes of the one below, in the same step.
        batch_first (keyword): (B,T,...) in place of (T,B,...).
        softness (keyword): how wide the sign of the current is for the gradient, in weights before
            rounding.
        device, dtype (keyword): of the weights.

    state_dict, for layer k: weight_ih_l{k} (hidden_size, in), N(0, 1/4) held to [-1, 1]: a neuron's
    X is the sign of its current, so that only ratios of weights matter.

    Raises TypeError and ValueError for what is no spike, and OverflowError, naming step and neuron,
    where a current leaves the +-30000 that the hardware holds.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        levels: int | Sequence[int] = 16,
        *,
        num_layers: int = 1,
        batch_first: bool = False,
        softness: float = 0.8,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = integer("input_size", input_size)
        self.hidden_size = integer("hidden_size", hidden_size)
        self.num_layers = integer("num_layers", num_layers)
        #: The largest integer weight of each layer.
        self.levels: tuple[int, ...] = fixed_point.arguments.levels(levels, self.num_layers)
        self.batch_first = boolean("batch_first", batch_first)
        self.softness = number("softness", softness, 0.0, float("inf"), open_low=True)
        for k in range(self.num_layers):
            shape = hidden_size, hidden_size if k else input_size
            self.register_parameter(
                f"weight_ih_l{k}", nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            )
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        for weight in self.parameters():
            weight.normal_(std=0.5).clamp_(-1, 1)

    @classmethod
    def from_src(cls, layer: nn.Module, levels: int | Sequence[int], **options: Any) -> IntegerSRC:
        """The layer to train on from an ``nn.SRC`` that ``fixed_point.from_src`` takes, whose
        largest weight becomes the largest integer; options are the constructor's."""
        fixed_point.from_src(layer, levels)  # refuses what the hardware cannot be
        given = {"num_layers": layer.num_layers, "batch_first": layer.batch_first, **options}
        made = cls(layer.input_size, layer.hidden_size, levels, **given)
        with torch.no_grad():
            for name, weight in made.named_parameters():
                trained = getattr(layer, name)
                weight.copy_(trained / trained.abs().max())
        return made

    def integers(self) -> list[np.ndarray]:
        """Each layer's weights as the hardware holds them, (hidden_size, in), int16."""
        return [
            _Rounded.apply(weight.detach(), levels).cpu().numpy().astype(np.int16)
            for weight, levels in self._layers()
        ]

    def _layers(self) -> Iterator[tuple[Tensor, int]]:
        """Each layer's weights and the largest integer among them."""
        for k, levels in enumerate(self.levels):
            yield getattr(self, f"weight_ih_l{k}"), levels

    def network(self, *, accumulator_bits: int = 12) -> fixed_point.Network:
        """The golden model of the weights as they are, whose neurons are this layer's."""
        return fixed_point.Network(self.integers(), accumulator_bits=accumulator_bits)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (T,B,hidden_size) of the last layer, 0.0 or 1.0, for input spikes x
        (T,B,input_size): bool, or 0.0 and 1.0 of the weights' dtype, through which gradients go on.
        Or (B,T,...) with batch_first."""
        x = self._checked(x)
        if self.batch_first:
            x = x.transpose(0, 1)
        for weight, levels in self._layers():
            total = _sums(x, _Rounded.apply(weight, levels), levels)
            x = fire(total, self.softness * levels).to(weight.dtype)
        return x.transpose(0, 1) if self.batch_first else x

    def _checked(self, x: Tensor) -> Tensor:
        weight = self.weight_ih_l0
        order = "(B,T" if self.batch_first else "(T,B"
        checks.sequence(x, arguments.PADDED)
        if x.dim() != 3 or x.shape[2] != self.input_size:
            raise ValueError(f"x must have shape {order},{self.input_size}), got {list(x.shape)}")
        if weight.device.type != "cpu" or x.device.type != "cpu":
            raise ValueError(
                f"IntegerSRC runs on the CPU, got x on {x.device} and weights on {weight.device}"
            )
        if weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"weights must be float32 or float64, got {weight.dtype}")
        if x.dtype != torch.bool:
            if x.dtype != weight.dtype:
                raise TypeError(f"x must be bool or {weight.dtype}, as weights are, got {x.dtype}")
            spikes = x.detach()
            _require(
                ((spikes == 0) | (spikes == 1)).all(), "x must hold spikes, 0 or 1, got others"
            )
        return x.to(weight.dtype)

    def extra_repr(self) -> str:
        levels = self.levels[0] if len({*self.levels}) == 1 else self.levels
        return (
            f"{self.input_size}, {self.hidden_size}, levels={levels}, "
            f"num_layers={self.num_layers}, batch_first={self.batch_first}, "
            f"softness={self.softness:g}"
        )


def _sums(spikes: Tensor, rounded: Tensor, levels: int) -> Tensor:
    """What the integers of the inputs that spike add up to, exactly: not in autocast's 16 bits."""
    if rounded.shape[1] * levels >= _EXACT:
        spikes, rounded = spikes.double(), rounded.double()
    with torch.autocast("cpu", enabled=False):
        return F.linear(spikes, rounded)


def _require(holds: Tensor, message: str) -> None:
    """Raises ValueError; within a graph of torch.compile, which cannot ask, RuntimeError."""
    if torch.compiler.is_compiling():
        torch.ops.aten._assert_async.msg(holds, message)
    elif not bool(holds):
        raise ValueError(message)


def fire(total: Tensor, width: float) -> Tensor:
    """Spikes (T,B,C), 0.0 or 1.0, of neurons at rest whose inputs add up to ``total`` (T,B,C), in
    whole numbers of float32 or float64; ``width`` is s of ``IntegerSRC``, whose gradient this
    has."""
    return _neurons(total, width)[0]


class _Rounded(torch.autograd.Function):
    """round(levels W), W held to [-1, 1]; halves go to the even neighbour."""

    @staticmethod
    def forward(ctx, weight: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.levels = levels
        _require(weight.isfinite().all(), "weights must be finite, got NaN or an infinity")
        return (weight.clamp(-1, 1) * levels).round_()

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        outward = (weight.abs() >= 1) & (dy * weight < 0)
        return (dy * ctx.levels).masked_fill_(outward, 0), None


@torch.library.custom_op("lrnn_kernels::integer_src", mutates_args=())
def _neurons(total: Tensor, width: float) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes in the type of the total, I and h in 16 bits, each (T,B,C)."""
    T, B, C = total.shape
    lanes = total.detach().to(torch.int32).reshape(T, B * C).numpy()
    current, h, spikes = (np.empty((T, B * C), kind) for kind in (np.int16, np.int16, bool))
    for first in range(0, B * C, _LANES):
        some = slice(first, first + _LANES)
        states = fixed_point.neurons(total=np.ascontiguousarray(lanes[:, some]))
        current[:, some], h[:, some], spikes[:, some] = states.I, states.h, states.spike
    found = [torch.from_numpy(x).view(T, B, C) for x in (spikes, current, h)]
    return found[0].to(total.dtype), found[1], found[2]


@_neurons.register_fake
def _(total: Tensor, width: float) -> tuple[Tensor, Tensor, Tensor]:
    shape = total.shape
    return (
        total.new_empty(shape),
        total.new_empty(shape, dtype=torch.int16),
        total.new_empty(shape, dtype=torch.int16),
    )


def _keep(ctx, inputs: tuple[Tensor, float], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, ctx.width = inputs
    _, current, h = output
    ctx.mark_non_differentiable(current, h)
    ctx.save_for_backward(current, h)


def _pull_back(ctx, dy: Tensor, *_) -> tuple[Tensor, None]:
    current, h = (x.to(dy.dtype) for x in ctx.saved_tensors)
    by_current = (current / ctx.width).tanh().square() - 1
    slope = ((h / _ONE).square() - 1) * by_current / ctx.width
    leak = dy.new_full((dy.shape[2],), LEAK)
    du, _last = linear_scan(leak, (dy * slope).transpose(0, 1), reverse=True)
    return du.transpose(0, 1), None


_neurons.register_autograd(_pull_back, setup_context=_keep)
