"""A training step and a streaming step of the backbone around every recurrent layer, beside the
same network on the reference, on torch.nn.GRU, and on the fastest other way to run the layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lrnn_kernels import models, nn, testing
from lrnn_kernels.models.layers import names

from ..measure import machine, report
from ..measure.timing import best_of, interleave, pieces, ratio
from . import model_peers
from .model_peers import LOOP, Peer

CLASSES = 10
GRU = "torch.nn.GRU"
CHECKED = 2 * model_peers.STEPS  # steps for which a peer must compute what the layer does
#: Of the largest value: sums are in another order, and tanh is another.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Setting:
    """Sequences (B,T,1), and the backbone that reads them; its other choices are the defaults, but
    for the head, a mean over steps."""

    B: int
    T: int
    width: int
    depth: int

    def __str__(self) -> str:
        return f"[{self.B}, {self.T}], width {self.width}, depth {self.depth}"

    @property
    def read(self) -> int:
        """Channels that the layer of a block reads."""
        return self.width + models.BackboneConfig.positions

    def network(self, cell: object) -> models.Backbone:
        torch.manual_seed(0)
        sizes = {"width": self.width, "depth": self.depth}
        return models.Backbone(models.BackboneConfig(1, CLASSES, cell, head="mean", **sizes))


#: MNIST pixel by pixel through the papers' sizes; and a small network, so that overhead shows.
PIXELS, SMALL = Setting(32, 784, 128, 2), Setting(64, 200, 32, 1)
SETTINGS = (PIXELS, SMALL)


# What is timed.


def training_step(network: models.Backbone, x: Tensor, labels: Tensor) -> Callable[[], None]:
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x)[0], labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def gru(setting: Setting) -> Callable[[int], torch.nn.Module]:
    """What makes torch's GRU, as a backbone's ``cell``."""
    return lambda inputs: torch.nn.GRU(inputs, setting.width, batch_first=True)


def layer_alone(layer: torch.nn.Module, x: Tensor, dy: Tensor) -> Callable[[], dict]:
    """A layer forward and backward; gives by name its output y and the gradients of x and the
    parameters."""
    x = x.detach().requires_grad_()
    named = dict(layer.named_parameters())

    def run() -> dict[str, Tensor]:
        y = layer(x)[0]
        found = torch.autograd.grad(y, [x, *named.values()], dy)
        return dict(zip(["y", "x", *named], [y.detach(), *found], strict=True))

    return run


def scan_alone(layer: nn.Recurrent, x: Tensor, dy: Tensor) -> Callable[[], object]:
    """A layer's recurrence forward and backward, without the products with x before it and of its
    output after it."""
    caught = []

    def catch(drive, p, **states):
        caught.append((drive.detach().requires_grad_(), p, states))
        return type(layer)._scan(layer, drive, p, **states)

    layer._scan = catch
    try:
        layer(x)
    finally:
        del layer._scan
    ((drive, p, states),) = caught
    with torch.no_grad():
        y = layer._scan(drive, p, **states)[0]
    dy = dy if y.shape == dy.shape else torch.randn_like(y)
    # What makes parameters and the initial state is (C,) long: it is timed with the rest.
    states = {name: value for name, value in states.items() if name != "h0"}
    leaves = [drive, *p.values()]

    def run() -> None:
        initial = layer._initial(p)
        h0 = None if initial is None else initial.expand(len(x), -1)
        y, _ = layer._scan(drive, p, h0=h0, **states)
        torch.autograd.grad(y, leaves, dy, allow_unused=True)

    return run


# Peers.


def check(ours: torch.nn.Module, other: torch.nn.Module, x: Tensor, dy: Tensor) -> None:
    """Raises ValueError where another layer of the same parameters computes, or learns, something
    else."""
    other.load_state_dict(ours.state_dict())
    expected, got = (layer_alone(layer, x, dy)() for layer in (ours, other))
    for name, value in expected.items():
        difference = (value - got[name]).abs().max().item()
        if not difference <= TOLERANCE * value.abs().max().item():
            raise ValueError(f"{name} differs by {difference:.2e} from the layer's own")


def best_peer(name: str, setting: Setting, rounds: int) -> Peer:
    """The fastest of a layer's peers that can train, alone at the setting's size; those that
    cannot run here are named."""
    layer, size = getattr(nn, name), (setting.read, setting.width)
    x = torch.randn(setting.B, setting.T, setting.read)
    dy = torch.randn(setting.B, setting.T, setting.width)
    cases = {}
    torch.compiler.reset()  # a compiled function serves a few cells only
    for peer in model_peers.of(layer):
        other = peer.make(*size)
        try:
            check(layer(*size, batch_first=True), other, x[:, :CHECKED], dy[:, :CHECKED])
        except ValueError as error:
            message = f"{name} by {peer.name}: {error}"
            raise SystemExit(f"{message}; its speed is of no interest") from error
        except RuntimeError as error:  # no compiler, or none that it can use
            print(f"{name} by {peer.name} does not run: {str(error).splitlines()[0]}")
            continue
        cases[peer] = layer_alone(other, x, dy)
    return best_of(interleave(cases, rounds), list(cases))


# The measurements.


def measure(name: str, setting: Setting, threads: int, rounds: int) -> dict:
    """A row: milliseconds of a training step, the share of it in the recurrence, and the others'
    times by ours."""
    with testing.threads(threads):
        peer = best_peer(name, setting, min(rounds, 3))
        x = torch.rand(setting.B, setting.T, 1)
        labels = torch.randint(CLASSES, (setting.B,))
        cells = {
            "ours": name,
            "reference": models.Layer(name, backend="reference"),
            GRU: gru(setting),
        }
        if peer.name not in (LOOP, GRU):  # those are there
            cells["peer"] = lambda inputs: peer.make(inputs, setting.width)
        cases = {
            what: training_step(setting.network(cell), x, labels) for what, cell in cells.items()
        }
        read, dy = (torch.randn(setting.B, setting.T, n) for n in (setting.read, setting.width))
        one = getattr(nn, name)(setting.read, setting.width, batch_first=True)
        cases["scan"] = scan_alone(one, read, dy)
        times = interleave(cases, rounds, budget=20.0)
        if torch.get_num_threads() != threads:
            raise RuntimeError(f"{peer.name} left torch with {torch.get_num_threads()} threads")
    of_peer = {LOOP: "reference", GRU: GRU}.get(peer.name, "peer")
    return {
        "layer": name,
        **asdict(setting),
        "threads": threads,
        "ms": round(median(times["ours"]) * 1e3, 2),
        "recurrence": round(setting.depth * ratio(times, "scan", "ours"), 4),
        "reference": round(ratio(times, "reference", "ours"), 3),
        "torch": round(ratio(times, GRU, "ours"), 3),
        "peer": peer.name,
        "by_peer": round(ratio(times, of_peer, "ours"), 3),
    }


def stream(setting: Setting, rounds: int) -> list[dict]:
    """A row a layer: microseconds of a step of one sequence, without gradients on one thread, and
    times by that of the backbone on torch.nn.GRU."""
    cells = {("torch", ""): gru(setting)}
    for name in names():
        cells["ours", name] = name
        cells["reference", name] = models.Layer(name, backend="reference")
    x = torch.rand(1, 1)
    with testing.threads(1), torch.inference_mode():
        cases = {key: _one_step(setting.network(cell).eval(), x) for key, cell in cells.items()}
        times = interleave(cases, rounds, budget=20.0)
    return [
        {
            "layer": name,
            "width": setting.width,
            "depth": setting.depth,
            "us": round(median(times["ours", name]) * 1e6, 1),
            "reference": round(ratio(times, ("reference", name), ("ours", name)), 3),
            "torch": round(ratio(times, ("torch", ""), ("ours", name)), 3),
        }
        for name in names()
    ]


def _one_step(network: models.Backbone, x: Tensor) -> Callable[[], object]:
    _, states = network.step(x)
    return lambda: network.step(x, states)


def run(threads: Sequence[int], settings: Sequence[Setting], rounds: int) -> dict:
    """Everything, for the JSON."""
    jobs = list(itertools.product(settings, threads, names()))
    rows = []
    for setting, count, name in tqdm(jobs, desc="models", leave=False, disable=None):
        rows.append(measure(name, setting, count, rounds))
    streaming = [row for setting in settings for row in stream(setting, 20 * rounds)]
    return {"pieces": dict(pieces), "rows": rows, "streaming": streaming}


def main(threads: int | None, *, quick: bool, out: Path) -> None:
    about = machine.describe()
    counts = sorted({1, torch.get_num_threads()}) if threads is None else [threads]
    settings = (SMALL,) if quick else SETTINGS
    found = run(counts, settings, 3 if quick else 5)
    content = {"machine": about, "quick": quick, "models": found}
    show(content)
    print(f"\nResults: {report.save(content, out, f'models-{machine.slug(about)}')}")


# The tables.

HEADER = ("layer", "ms", "recurrence", "reference", GRU, "best peer", "on it")
STEPS_HEADER = ("layer", "us", "reference", GRU)
REMARK = (
    "ms: a training step (forward, cross entropy, backward, clipping, fused AdamW), the median; "
    "recurrence: the scans' share of it, the rest is torch's; reference, torch.nn.GRU, on it: the "
    "step of the same network on these, by ours"
)


def show(content: dict) -> None:
    about, found = content["machine"], content["models"]
    packages = about["packages"]
    numba = f"numba {packages['numba']}" if "numba" in packages else "numba is not installed"
    print(f"{about['cpu']}, float32, torch {about['torch']}, {numba}\n{REMARK}")
    for title, rows in _tables(found["rows"]):
        print(report.table(HEADER, [cells(row) for row in rows], title))
    for title, rows in _streaming(found["streaming"]):
        print(report.table(STEPS_HEADER, [_step_cells(row) for row in rows], title))
    counts = found["pieces"]
    print(f"\n{counts['preempted']} of {counts['timed']} timed pieces were preempted.")


def cells(row: dict) -> list[str]:
    """A row of ``measure`` for the table."""
    ratios = [f"{row[name]:.2f}" for name in ("reference", "torch")]
    share = f"{100 * row['recurrence']:.1f} %"
    ms = f"{row['ms']:.0f}" if row["ms"] >= 100 else f"{row['ms']:.1f}"
    return [row["layer"], ms, share, *ratios, row["peer"], f"{row['by_peer']:.2f}"]


def _step_cells(row: dict) -> list[str]:
    return [row["layer"], f"{row['us']:.0f}", f"{row['reference']:.2f}", f"{row['torch']:.2f}"]


def markdown(content: dict) -> list[str]:
    """All rows, for a document."""
    lines, found = [], content["models"]
    for header, words, tables in (
        (HEADER, cells, _tables(found["rows"])),
        (STEPS_HEADER, _step_cells, _streaming(found["streaming"])),
    ):
        for title, rows in tables:
            named = [[f"nn.{name}", *rest] for name, *rest in map(words, rows)]
            lines += [f"{title}:", "", *report.markdown(header, named), ""]
    return lines


def _tables(rows: list[dict]) -> Iterator[tuple[str, list[dict]]]:
    fields = ("B", "T", "width", "depth", "threads")
    for key, group in itertools.groupby(rows, lambda row: [row[f] for f in fields]):
        threads = f"{key[-1]} thread{'s' if key[-1] > 1 else ''}"
        yield f"{Setting(*key[:-1])}, {threads}", list(group)


def _streaming(rows: list[dict]) -> Iterator[tuple[str, list[dict]]]:
    for (width, depth), group in itertools.groupby(rows, lambda r: (r["width"], r["depth"])):
        title = f"A step of one sequence without gradients, width {width}, depth {depth}, 1 thread"
        yield title, list(group)
