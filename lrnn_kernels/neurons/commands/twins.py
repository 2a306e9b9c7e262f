"""python -m lrnn_kernels.neurons twins RECORDING --unit ms --out DIR"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...options import integer
from ...version import __version__
from .. import exports, recordings
from ..datasets import files
from ..models import MODELS
from ..network import DICsNet
from ..network.files import known
from ..twins import twins


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "twins",
        help="neurons that fire like those of a recording",
        description="Predicts the dynamic input conductances of recorded units from their spike "
        "times, makes model neurons that have them, simulates these, and compares how they fire. "
        "Writes twins.json, conductances.csv, spikes.csv and twins.png.",
    )
    command.add_argument("recording", help="a CSV, NPZ or NWB file, or one that neo reads")
    command.add_argument("--unit", choices=("ms", "s"), help="of its times, where it does not say")
    command.add_argument("--out", required=True, help="the folder")
    command.add_argument("--n", type=int, default=16, help="twins of each unit (default: 16)")
    models = [name for name, model in MODELS.items() if model.recipe is not None]
    own = ", ".join(known())
    about = f"(default: stg); the package has weights of {own}, others take --weights"
    command.add_argument("--model", choices=models, type=str.lower, default="stg", help=about)
    command.add_argument("--weights", help="a file of DICsNet.save (default: the model's own)")
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=run)


def run(
    recording: str,
    unit: str | None,
    out: str,
    n: int,
    model: str,
    weights: str | None,
    seed: int,
) -> int:
    n = integer("--n", n)
    seed = integer("--seed", seed, 0)
    if weights is None and model not in known():
        own = ", ".join(known())
        raise ValueError(
            f"--weights must be given for --model {model}: the package has weights of {own} alone"
        )
    net = DICsNet.pretrained(model) if weights is None else DICsNet.load(weights)
    with files.folder(out, "--out") as folder:
        return _twins(Path(recording), unit, folder, n, model, net, seed)


def _twins(
    recording: Path, unit: str | None, folder: Path, n: int, model: str, net: DICsNet, seed: int
) -> int:
    recorded = recordings.read(recording, unit=unit)  # a large one takes a while
    for line in recorded.report.lines():
        print(line)
    try:
        found = twins(recorded, n, model=model, net=net, seed=seed, progress=True)
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was written.")
        return 130
    units = exports.summary(found, recorded.names)
    for each in units:
        print(_line(each))
    about = {"version": __version__, "model": model, "n": n, "seed": seed}
    about |= {"weights": net.provenance, "report": recorded.report.plain(), "units": units}
    _write(folder / "twins.json", (json.dumps(about, indent=1) + "\n").encode())
    _write(folder / "conductances.csv", exports.conductances(found, recorded.names).encode())
    _write(folder / "spikes.csv", exports.of_twins(found, recorded.names).encode())
    if figure := _figure():
        exports.draw(figure, found, recorded.spikes, recorded.names)
        files.write(folder / "twins.png", lambda file: figure.savefig(file, format="png"))
    return 0


def _line(unit: dict) -> str:
    """One unit on the terminal."""
    if unit["prediction"]["g_s"] is None:
        return f"{unit['unit']}: silent"
    said, twins, kind = unit["prediction"], unit["twins"], unit["firing_class"]
    rates = twins["rate_Hz"]
    theirs = "silent" if rates["twins"] is None else f"{rates['twins']:.3g} Hz"
    text = (
        f"{unit['unit']}: {kind}, "
        f"g_s {said['g_s']:.3g} (+-{said['uncertainty_g_s']:.2g}), "
        f"g_u {said['g_u']:.3g} (+-{said['uncertainty_g_u']:.2g}); twins: "
        f"{100 * twins['of_its_class']:.0f} % {kind}, {theirs} "
        f"(recording {rates['recording']:.3g} Hz)"
    )
    return "\n".join([text, *(f"  doubtful: {doubt}" for doubt in unit["doubts"])])


def _figure():
    """An empty figure, or None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        print("No twins.png: it needs matplotlib, pip install 'lrnn-kernels[neurons]'")
        return None
    return Figure(figsize=(14, 4), layout="constrained", dpi=100)


def _write(path: Path, content: bytes) -> None:
    files.write(path, lambda file: file.write(content))
