"""A program against the public signatures, as a user with a strict checker writes one: read by the
checker, and run by nobody. ``assert_type`` says what a user's editor shows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from typing_extensions import assert_type

import lrnn_kernels
from lrnn_kernels import agents, fixed_point, memory, models, multistability, neurons, nn, tasks


def operators(x: Tensor, channel: Tensor, matrix: Tensor, reset: Tensor | None) -> list[Tensor]:
    y, h = lrnn_kernels.bmru(x, x, channel, eps=0.5, reset=reset, backend="reference")
    assert_type(y, Tensor)
    assert_type(h, Tensor)
    y, h = lrnn_kernels.bmru_step(y[:, 0], y[:, 0], channel, h, eps=channel, width=0.7)
    y, h = lrnn_kernels.min_gru(x, x, h0=h, reverse=True)
    y, h = lrnn_kernels.min_gru_step(y[:, 0], y[:, 0], h, positive=True, reset=reset)
    y, h = lrnn_kernels.linear_scan(x, x, h0=None, h_reset=channel)
    y, (h, c) = lrnn_kernels.lstm(x, x, x, x, matrix, state=(h, h))
    y, (h, c) = lrnn_kernels.lstm_step(h, h, h, h, matrix, (h, c))
    y, (i, h, h_s) = lrnn_kernels.src(x, channel, state=None, threshold=0.5)
    assert_type(h_s, Tensor)
    explained = lrnn_kernels.explain("bmru", x, x, channel)
    assert_type(explained, lrnn_kernels.Explanation)
    return [y, i, h, c]


def layers(device: torch.device | str | None) -> int:
    layer = nn.CMRU(28, 256, num_layers=2, batch_first=True, bidirectional=True, device=device)
    plain: list[nn.Recurrent] = [
        layer,
        nn.LRU(4, 8),
        nn.GRU(4, 8, dtype=torch.float64),
        nn.BRC(4, 8),
    ]
    stack = nn.Stack(nn.LSTM(1, 8, batch_first=True), nn.BMRU(8, 8, batch_first=True))
    _, h_n = layer(torch.zeros(2, 3, 28), reset=torch.zeros(2, 3, dtype=torch.bool))
    wide = nn.Parallel(nn.MinGRU(1, 8, batch_first=True), nn.MGU(1, 8, batch_first=True))
    multistability.chrono_(torch.nn.GRU(1, 8), T_max=300)
    double = multistability.double(nn.GRU, 1, 256, num_layers=2, batch_first=True)
    sequences = torch.zeros(4, 10, 1)
    assert_type(multistability.measure(double, sequences), float)
    multistability.warm_up(wide, sequences)
    multistability.warm_up(stack, sequences)
    return int(h_n.numel()) + sum(one.hidden_size for one in plain)


def networks(path: str) -> Tensor:
    config = models.BackboneConfig(input_size=1, output_size=10, width=64, cell="BMRU", head="mean")
    network = models.Backbone(config, device="cpu", dtype=torch.float32)
    network.save(path)
    assert_type(models.load(path), models.Backbone)
    batch = tasks.copy_first_symbol.draw(
        batch_size=64, steps=200, generator=torch.Generator().manual_seed(0)
    )
    assert_type(batch, tasks.Batch)
    assert_type(tasks.copy_first_symbol.metric(batch.inputs, batch), dict[str, float])
    manifold = models.NeuromodulatedAutoencoder((16, 16, 8, 3), context=2)
    x, c = torch.zeros(5, 16), torch.zeros(5, 2)
    assert_type(manifold.fit(x, c), models.History)
    return manifold.decode(manifold.encode(x, c), c)


def players() -> float:
    env = tasks.t_maze.TMaze(batch_size=128, seed=0)
    policy = agents.Policy(nn.BMRU(4, 32, batch_first=True), 4)
    agents.PPO(policy, env, agents.PPOSettings(iterations=60), seed=0).train()
    rewards, _ = agents.play(policy, env)
    return float(rewards.mean())


def populations() -> Tensor:
    base = neurons.spiking_population("stg", 1000, seed=0)
    assert_type(base, neurons.Population)
    bursting = neurons.neuromodulate("stg", base.g, g_s=-10.0, g_u=5.0)
    done = neurons.simulate("stg", bursting.g, 6000, discard=3000, noise=3.0, seed=1)
    assert_type(done.spikes, neurons.Spikes)
    assert_type(neurons.dic("stg", base.g, -51.0), Tensor)
    axon = neurons.simulate(neurons.HH, [[120, 36, 0.3]], 100, current=10.0)
    neurons.simulate("hh", np.array([[120.0, 36.0, 0.3]]), 100)
    recorded = neurons.recordings.of([[1.0, 2.0, 4.0]])
    assert_type(neurons.twins(recorded, 8), neurons.Twins)
    assert_type(neurons.metrics(axon), neurons.Metrics)
    return neurons.metrics(done.spikes).intra_burst_rate


def circuits(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    weights = fixed_point.quantize(np.zeros((100, 784), np.float32), 16)
    network = fixed_point.Network([weights])
    labels, _votes, _spikes = network.classify(images, frames=55, seed=0)
    memory.set_limit(0)
    return int(labels[0]) + memory.stats().cached
