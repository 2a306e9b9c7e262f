"""The double layer of a partial warm-up."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..nn import Parallel, Recurrent, Stack
from ..options import integer


def double(
    layer: type[nn.Module],
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    output_size: int | None = None,
    **options: Any,
) -> nn.Module:
    """A network whose every layer is two independent cells of hidden_size/2, side by side: one to
    be warmed, ``warm_up(net, ..., partial=True)``, for what must be kept, and one left as it was
    drawn, for what must be precise.

        net = multistability.double(nn.GRU, 1, 256, num_layers=2, batch_first=True)

    Both cells read the whole input; their outputs are concatenated, the warmed one's first. Source:
    as of ``vaa``.

    Args:
        layer: the class of both cells: one of lrnn_kernels.nn, or torch.nn.GRU, LSTM or RNN.
        input_size, num_layers: as of the layer.
        hidden_size: of both cells together, even.
        output_size: channels of a linear map of the last layer's outputs, as of ``nn.Stack``.
        options: the layer's other arguments, by name; not bidirectional, nor dropout.

    Returns an nn.Parallel, or an nn.Stack of several. Raises TypeError or ValueError, naming the
    argument.
    """
    known = (Recurrent, nn.RNNBase)
    if not (isinstance(layer, type) and issubclass(layer, known)) or layer in known:
        got = layer.__name__ if isinstance(layer, type) else type(layer).__name__
        raise TypeError(
            "layer must be a class of layers of lrnn_kernels.nn, or torch.nn.GRU, LSTM or RNN, "
            f"got {got}"
        )
    input_size = integer("input_size", input_size)
    num_layers = integer("num_layers", num_layers)
    hidden_size = integer("hidden_size", hidden_size)
    if hidden_size % 2:
        raise ValueError(f"hidden_size must be even, for two cells, got {hidden_size}")
    for name in ("bidirectional", "dropout"):
        if options.get(name):
            raise ValueError(f"{name} must be left out of a double layer, got {options[name]!r}")
    own = {"output_size": output_size} if num_layers == 1 else {}
    pairs = [
        Parallel(
            *(layer(size, hidden_size // 2, **options) for _ in range(2)), merge="concat", **own
        )
        for size in [input_size] + [hidden_size] * (num_layers - 1)
    ]
    return pairs[0] if num_layers == 1 else Stack(*pairs, output_size=output_size)
