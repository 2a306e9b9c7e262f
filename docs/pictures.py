"""Draws the pictures of README.md: ``python docs/pictures.py``.

memory.png: a BMRU and an LRU of one unit each see a cue in their first step, and noise for 100,000
more. throughput.png: that of the checked-in results of ``python -m benchmarks``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lrnn_kernels import bmru, lru  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
THROUGHPUT = "2026-11-28-amd-epyc-family-26-model-2-2-cores-avx512-bf16.png"
STEPS = 100_000
#: |lambda| of the LRU: of those that its paper begins with, the slowest to forget.
RADIUS = 0.999


def states() -> dict[str, torch.Tensor]:
    """What each unit holds, (STEPS + 1,), after cues of +1 and -1."""
    noise = 0.1 * torch.randn(STEPS + 1, generator=torch.Generator().manual_seed(0))
    found = {}
    for sign in (1, -1):
        x = noise.clone()
        x[0] = 3.0 * sign
        x = x.view(1, -1, 1)
        latch, _ = bmru(x, torch.full((1,), 2.0), torch.ones(1))
        u = torch.complex(x / 3, torch.zeros_like(x))
        linear, _ = lru(u, torch.full((1,), RADIUS, dtype=torch.complex64))
        found[f"BMRU {sign:+}"] = latch.flatten()
        found[f"LRU {sign:+}"] = linear.real.flatten()
    return found


def memory(path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found = states()
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True, layout="constrained")
    for axis, name in zip(axes, ("BMRU", "LRU"), strict=True):
        for sign, color in ((1, "#0b6e99"), (-1, "#d1495b")):
            axis.plot(found[f"{name} {sign:+}"], color=color, lw=0.8, label=f"cue {sign:+}")
        axis.set_xscale("symlog", linthresh=10, linscale=0.5)
        axis.set_xlim(0, STEPS)
        axis.set_title(f"{name}: " + ("holds" if name == "BMRU" else f"|λ| = {RADIUS} forgets"))
        axis.set_xlabel("steps of noise after the cue")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("state")
    axes[0].legend(frameon=False, loc="center right")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    memory(PICTURES / "memory.png")
    shutil.copyfile(ROOT / "benchmarks" / "results" / THROUGHPUT, PICTURES / "throughput.png")


if __name__ == "__main__":
    main()
