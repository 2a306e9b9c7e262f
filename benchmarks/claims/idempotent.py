"""How idempotent autoencoders stay as they learn, beside what was promised."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lrnn_kernels.models import ConstrainedAutoencoder, NeuromodulatedAutoencoder

from . import progress
from .claim import Claim, Plain, cpu_seconds

STEPS, LR, BATCH, ROWS, CONTEXT = 10_000, 3e-3, 64, 4096, 2
#: Steps after which it is measured.
LOOKED = (0, 30, 100, 300, 1000, 3000, 10_000)
THREE, SIX = (16, 12, 8, 3), (3, 3, 3, 3, 3, 3, 2)
#: By name: the class, widths, type, accumulate, and what is promised.
KINDS = {
    "NcAE, 3 layers": (NeuromodulatedAutoencoder, THREE, torch.float32, None, 3e-6),
    "cAE, 3 layers": (ConstrainedAutoencoder, THREE, torch.float32, None, 3e-6),
    "NcAE, 6 layers": (NeuromodulatedAutoencoder, SIX, torch.float32, None, 5e-6),
    "NcAE, 3 layers, accumulated": (
        NeuromodulatedAutoencoder,
        THREE,
        torch.float32,
        "float64",
        3e-7,
    ),
    "NcAE, 3 layers, float64": (NeuromodulatedAutoencoder, THREE, torch.float64, None, 1e-12),
}


def settings(quick: bool) -> list[Plain]:
    names = list(KINDS)[:2] if quick else list(KINDS)
    return [{"network": name, "steps": 300 if quick else STEPS} for name in names]


def run(setting: Plain, seed: int, _state: Path) -> Plain:
    """Adam at 3e-3 on new rows of a sheet that its context bends and moves."""
    kind, dims, dtype, accumulate, _ = KINDS[setting["network"]]
    torch.manual_seed(seed)
    options = {"context": CONTEXT} if kind is NeuromodulatedAutoencoder else {}
    model = kind(dims, accumulate=accumulate, dtype=dtype, **options)
    generator = torch.Generator().manual_seed(seed + 1)
    adam = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    curve, inverse, conditions, losses = [], [], [], []
    for step in range(setting["steps"] + 1):
        if step in LOOKED or step == setting["steps"]:
            curve.append((step, idempotency(model, generator)))
            error, condition = biorthogonality(model)
            inverse.append(error)
            conditions.append(condition)
        x, c = sheet(dims[0], dtype, generator)
        loss = (model.project(x, c if options else None) - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        progress.at(step / setting["steps"])
    return {
        "curve": curve,
        "inverse": max(inverse),
        "condition": max(conditions),
        "first_loss": losses[0],
        "last_loss": sum(losses[-20:]) / len(losses[-20:]),
    }


def sheet(n: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (64,n) of two coordinates and a context (64,2)."""
    w = torch.randn(BATCH, 2, generator=generator)
    c = torch.randn(BATCH, CONTEXT, generator=generator)
    parts = [w[:, 0], w[:, 1], w[:, 0] * w[:, 1], w[:, 0].sin() * c[:, 0]]
    x = torch.stack(parts, -1).repeat(1, n // 4 + 1)[:, :n]
    x = x * torch.linspace(0.5, 1.5, n) + 0.3 * c[:, :1]
    return x.to(dtype), c.to(dtype)


@torch.no_grad()
def idempotency(model: torch.nn.Module, generator: torch.Generator) -> float:
    """||P(Px) - Px|| / ||Px|| of random points, of a context each."""
    dtype = next(model.parameters()).dtype
    x = torch.randn(ROWS, model.dims[0], generator=generator).to(dtype)
    c = torch.randn(ROWS, CONTEXT, generator=generator).to(dtype) if model.context else None
    once = model.project(x, c)
    return ((model.project(once, c) - once).norm() / once.norm()).item()


@torch.no_grad()
def biorthogonality(model: torch.nn.Module) -> tuple[float, float]:
    """max|E D - I| as a share of 3 eps max(1, cond(X D)), and the largest cond(X D), of layers."""
    shares, conditions = [], []
    for layer in model.layers:
        X, D = (p.double() for p in layer.parameters())
        condition = max(1.0, torch.linalg.cond(X @ D).item())
        E = layer.weight
        error = (E.double() @ D - torch.eye(len(E), dtype=torch.float64)).abs().max()
        shares.append(error.item() / (3 * torch.finfo(E.dtype).eps * condition))
        conditions.append(condition)
    return max(shares), max(conditions)


def table(found: list[Plain]) -> list[list[str]]:
    rows = []
    for run in found:
        values = dict(run["curve"])
        rows.append(
            [
                run["network"],
                f"{KINDS[run['network']][-1]:.0e}",
                f"{values[0]:.2e}",
                f"{max(values.values()):.2e}",
                f"{run['curve'][-1][1]:.2e}",
                f"{run['inverse']:.2f}",
                f"{run['condition']:.3g}",
                f"{run['first_loss']:.2f}, {run['last_loss']:.3f}",
                cpu_seconds([run], 0),
            ]
        )
    return rows


def plot(figure, found: list[Plain]) -> None:
    axes = figure.subplots()
    colors = ("tab:green", "tab:gray", "tab:blue", "tab:orange", "tab:purple")
    for color, (name, kind) in zip(colors, KINDS.items(), strict=True):
        for run in found:
            if run["network"] == name:
                steps, values = zip(*run["curve"], strict=True)
                axes.plot([max(step, 10) for step in steps], values, "o-", color=color, ms=4)
        axes.plot([], "o-", color=color, ms=4, label=name)
        axes.axhline(kind[-1], color=color, ls=":", lw=1)
    axes.plot([], color="0.5", ls=":", label="what is promised")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([10, 100, 1000, 10_000], ["untrained", "100", "1,000", "10,000"])
    axes.set_xlabel("Adam steps at 3e-3")
    axes.set_ylabel("||P(Px) - Px|| / ||Px||")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


CLAIM = Claim(
    name="idempotency",
    says="Autoencoders whose encoder undoes their decoder stay projections up to rounding while "
    "they learn: ||P(Px) - Px|| / ||Px|| of 4,096 points drawn from N(0,1) with a random context "
    "each, untrained and up to 10,000 Adam steps at 3e-3 on a sheet that its context bends. E D - "
    "I is given as a share of 3 eps max(1, cond(X D)), the most that is promised.",
    settings=settings,
    run=run,
    header=(
        "network",
        "promised",
        "untrained",
        "worst",
        "at the end",
        "max of E D - I",
        "cond(X D)",
        "loss, first and last",
        "CPU s",
    ),
    table=table,
    plot=plot,
    seeds=1,
)
