"""Writes the tables of documents that follow from the code, and those of docs/claims.md and
docs/performance.md that follow from checked-in results: ``python docs/tables.py``, or with
``--check`` says whether they are up to date."""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from lrnn_kernels import neurons, nn  # noqa: E402
from lrnn_kernels.cells import CELLS  # noqa: E402
from lrnn_kernels.neurons.curves import Sigmoid  # noqa: E402


def operators() -> str:
    """A row for each public function: its positional arguments, and its equation."""
    rows = {}
    for cell in CELLS.values():
        parameters = inspect.signature(cell.function).parameters.values()
        given = [str(p.replace(annotation=p.empty)) for p in parameters if p.kind < p.KEYWORD_ONLY]
        rows.setdefault(f"`{cell.function.__name__}({', '.join(given)})`", cell.summary)
    return _table("operator", "recurrence", rows)


def layers(short: bool = False) -> str:
    """A row for each recurrent layer and composition, and what its docstring begins with; short: in
    the first words of that."""
    rows = {}
    for name in nn.__all__:
        layer = getattr(nn, name)
        kind = layer if isinstance(layer, type) else object
        if issubclass(kind, torch.nn.Module) and layer is not nn.Recurrent:
            first = inspect.getdoc(layer).split("\n\n")[0]
            says = " ".join(first.split()).rstrip(":")
            rows[f"`nn.{name}`"] = (
                re.split(r"[:,;(]|\. | beside | as torch", says)[0].strip(" .") if short else says
            )
    return _table("layer", "what it is", rows)


def _table(left: str, right: str, rows: dict[str, str]) -> str:
    lines = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items()]
    return "\n".join([f"| {left} | {right} |", "|---|---|", *lines])


def models() -> str:
    """Of each model of a neuron, a row for every channel and one for every gate, and what it has
    beside them."""
    return "\n\n".join(part for model in neurons.MODELS.values() for part in _model(model))


def _model(model: neurons.Model) -> list[str]:
    ends = model.recipe.monte_carlo if model.recipe else {}
    channels = ["| channel | E | open | g |", "|---|---|---|---|"]
    for channel in model.channels:
        opened = " ".join(f"{gate}^{n}" if n > 1 else gate for gate, n in channel.gates) or "1"
        upto = f"0 to {ends[channel.name]:g}" if channel.name in ends else ""
        channels.append(f"| {channel.name} | {channel.E:g} | `{opened}` | {upto} |")
    gates = ["| gate | x_inf | tau |", "|---|---|---|"]
    for gate in model.gates:
        steady = _curve(gate.x_inf)
        if gate.calcium is not None:
            steady += f" Ca / (Ca + {gate.calcium:g})"
        pair = model.pair and gate.name in model.pair.names
        tau = "of a pair" if pair else "0" if gate.tau is None else _curve(gate.tau)
        gates.append(f"| `{gate.name}` | {steady} | {tau} |")
    about = [f"`{model.name}`: {model.title}. {model.source}. It begins at {model.V_start:g} mV,"]
    about.append(f"with dt = {model.dt:g} ms; its DICs are set at {model.V_threshold:g} mV.")
    if calcium := model.calcium:
        currents = " + ".join(f"I_{name}" for name in calcium.channels)
        about.append(
            f"dCa/dt = ({calcium.rest:g} - Ca - {calcium.factor:g} ({currents})) / {calcium.tau:g},"
            f" Ca = {calcium.start:g} at first."
        )
    if model.pair:
        o, i = model.pair.names
        about.append(
            f"{o} and {i}: do/dt = a0 (1 - o - i) + bi i - o (ai + b0), di/dt = ai o - bi i."
        )
    about.append(f"All of it: `lrnn_kernels/neurons/models/{model.name}.py`.")
    return [textwrap.fill(" ".join(about), 100), "\n".join(channels), "\n".join(gates)]


def _curve(curve: Callable) -> str:
    """A sigmoid with its numbers, *: another function."""
    if not isinstance(curve, Sigmoid):
        return "*"
    sign = "-" if curve.B < 0 else "+"
    before = f"{curve.A:g} {sign} " if curve.A else "-" * (curve.B < 0)
    return f"`{before}{abs(curve.B):g} / (1 + exp((V + {curve.D:g}) / {curve.C:g}))`"


def claims() -> dict[str, Callable[[], str]]:
    """By the name of each claim, the table of its results."""
    from benchmarks.claims import CLAIMS, shown

    def table(name: str) -> str:
        found, machine = shown.load(ROOT / f"benchmarks/results/claims/{name}.json")
        ran = f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}"
        says = textwrap.fill(f"{CLAIMS[name].says} {shown.seeds(found)} {ran}.", 100)
        return f"{says}\n\n{shown.markdown(CLAIMS[name], found)}"

    return {name: partial(table, name) for name in CLAIMS}


def peers() -> str:
    """The tables of every run of the peers that is checked in, oldest first."""
    from benchmarks.peers import tables

    runs = []
    for path in sorted((ROOT / "benchmarks/results").glob("peers-*.json")):
        content = json.loads(path.read_text())
        heading = textwrap.fill(
            tables.heading(content, path.name), 100, break_on_hyphens=False, break_long_words=False
        )
        runs += [heading, *tables.markdown(content)]
    return "\n\n".join(runs) if runs else "No run is checked in yet."


#: Documents, and their tables by name.
TABLES: dict[str, Callable[[], dict[str, Callable[[], str]]]] = {
    "README.md": lambda: {"operators": operators, "layers": partial(layers, short=True)},
    "docs/operators.md": lambda: {"operators": operators},
    "docs/layers.md": lambda: {"layers": layers},
    "docs/neurons.md": lambda: {"models": models},
    "docs/claims.md": claims,
    "docs/performance.md": lambda: {"peers": peers},
}


def written(document: str, text: str) -> str:
    """A document with its tables as they should be: each stands after a comment with its name, up
    to one that says where it ends."""
    for name, table in TABLES[document]().items():
        place = re.compile(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(?=\n<!-- end -->)", re.DOTALL)
        text, count = place.subn(lambda match, table=table: f"{match[1]}\n{table()}\n", text)
        if count != 1:
            raise ValueError(f"{document} must hold one place for the table of {name}")
    return text


def main(arguments: list[str]) -> int:
    old = False
    for document in TABLES:
        path = ROOT / document
        text = path.read_text()
        new = written(document, text)
        old = old or new != text
        if arguments != ["--check"]:
            path.write_text(new)
    return int(old and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
