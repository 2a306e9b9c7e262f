"""The benchmarks: lists of cells come from rows, results are found by their keys, and what the
documents show is what the files hold."""

import ast
import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch

from benchmarks.cpu import peers, plot, products, speed, tables
from benchmarks.cpu.bank import Bank
from benchmarks.gpu import model
from benchmarks.measure import inputs, report, timing
from benchmarks.measure.results import CASES, Key, Results, Row, load
from benchmarks.measure.traffic import OPS, operators
from lrnn_kernels.cell import Cell, Kernel, affine
from lrnn_kernels.cells import CELLS, KERNELS
from tests import ROOT

RESULTS = sorted((ROOT / "benchmarks/results").glob("2*.json"))
SHOWN = RESULTS[-1]  # in the documents
#: What names a cell because it is of that cell: other implementations, and claims.
OF_CELLS = ("benchmarks/cpu/peers.py", "benchmarks/peers/", "benchmarks/claims/")
LEAKY = Cell(
    "leaky",
    inputs=("k", "v"),
    params=("w",),
    step=affine(lambda h, k, v, w: torch.sigmoid(k) * h + w * v),
    kernels=(Kernel("leaky", streams=2, reads=("k", "v")),),
    function=lambda **tensors: None,
    streaming=lambda **tensors: None,
)


def test_no_benchmark_asks_for_a_cell_by_name():
    names, found = {*CELLS, *KERNELS, *OPS}, []
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith(OF_CELLS):
            found += [
                f"{file}:{node.lineno} {node.value!r}"
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and node.value in names
            ]
    assert found == []


@pytest.mark.parametrize("cell", CELLS)
def test_every_form_of_a_row_is_measured(cell):
    row = CELLS[cell]
    measured = {name: op for name, op in OPS.items() if op.row is row}
    assert list(measured) == ([] if row.matrices else list(row.measured))
    for op in measured.values():
        assert op.kernel in row.kernels
        assert op.bytes_per_element(torch.float32, False) > 0


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_compiled_apart_reaches_its_kernel(cell):
    row = CELLS[cell]
    for name, options in row.compiled.items():
        assert row.kernel(options, False).name == name.split(",")[0]
    compiled = {name.split(",")[0] for row in CELLS.values() for name in row.compiled}
    assert compiled == KERNELS.keys()


def test_a_new_row_is_measured_with_no_edit():
    op = operators([LEAKY])["leaky"]
    assert op.bytes_per_element(torch.float32, False) == 12
    assert op.bytes_per_element(torch.float32, True) == 24
    assert model.map_reads(op) == 2  # dy, and k, of which the factor of the state is made
    assert [len(x) for x in inputs.sample(op)] == [1024 * 256] * 2
    assert LEAKY.compiled == {"leaky": {}}


@pytest.mark.parametrize("name", OPS)
def test_inputs_are_what_the_row_draws(name):
    """A drawn piece again and again, the same for streams apart and side by side."""
    op, shape = OPS[name], (2, 30, 5)
    apart, packed = (
        make(op, shape, torch.float32) for make in (Bank(5000).calls, Bank(5000).packed)
    )
    assert len(apart.streams) == len(op.row.inputs)
    assert [p.shape for p in apart.params] == [(5,)] * len(op.row.params)
    parts = [part for x in apart.streams for part in ((x.real, x.imag) if x.is_complex() else (x,))]
    assert (packed is None) == (len(parts) == 1)
    if packed is not None:
        assert torch.equal(packed.streams[0], torch.cat(parts, -1))
    for x, piece in zip(apart.streams, inputs.sample(op), strict=True):
        flat = torch.view_as_real(x).flatten() if x.is_complex() else x.flatten()
        assert torch.equal(flat, piece[: len(flat)])


def test_a_piece_is_repeated():
    filled = inputs.fill(torch.empty(8), torch.arange(3.0))
    assert filled.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


KEY = Key("min_gru", (1, 2, 3), "float32", "forward", threads=2)


def test_results_come_back_as_they_were():
    results = Results()
    results.add(Row(KEY, 1.0, 2.0, 12, 3.0, 4.0, "plain x2", 0.5))
    for other in ({"case": "packed"}, {"dtype": "bfloat16"}, {"threads": 1, "case": "plain copy"}):
        results.ratios[replace(KEY, **other), KEY] = 1.25
    again = Results.from_json(json.loads(json.dumps(results.as_json())))
    assert (again.rows, again.ratios) == (results.rows, results.ratios)
    plain = results.as_json()["ratios"][0]
    assert plain == asdict(replace(KEY, case="packed")) | {
        "by": {"case": "operator"},
        "ratio": 1.25,
    }
    assert again.ratio(replace(KEY, case="packed"), case="operator") == 1.25
    assert again.ratio(KEY, case="packed") is None


@pytest.mark.parametrize("wrong", [{"case": "roof"}, {"direction": "sideways"}], ids=str)
def test_a_word_that_is_no_keys_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
        replace(KEY, **wrong)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_checked_in_results_can_be_read_and_shown(path, capsys, tmp_path):
    results, content = load(path)
    assert len(results.rows) == len(content["speed"]["rows"])
    assert len(results.ratios) == len(content["speed"]["ratios"])
    assert {key.case for key in results.rows} <= CASES.keys()
    tables.print_speed(content)
    assert "Speed-up over the eager loop" in capsys.readouterr().out
    written = report.save(content, tmp_path, path.stem)
    assert written.read_text() == path.read_text()


#: Shapes of the speed section, small.
SMALL = {
    "SWEEP": (2, 8),
    "MAIN": (2, 8, 8),
    "PIXELS": (3, 4, 8),
    "LONE": (1, 64, 4),
    "LOOP_LENGTHS": (4,),
}


def test_a_run_measures_and_shows_every_operator(monkeypatch, capsys, tmp_path):
    """All tables of a run of small shapes, with a peer, and the same from its file."""
    for name, value in SMALL.items():
        for module in (speed, tables, plot):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(products, "SHAPES", ((1, 4, 8),))
    monkeypatch.setattr(timing, "WARM_SECONDS", 0.0)
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.0)
    peer = next(iter(OPS))
    monkeypatch.setattr(
        peers, "PEERS", {peer: lambda calls: {"forward": calls.call, "backward": calls.backward}}
    )
    run = speed.Speed(quick=True)
    run.lengths, run.rounds = [4, 8], 2
    run.run()
    about = {"threads": run.threads, "packages": {"numba": "0"}, "cpu": "x", "cores": 2}
    about |= {"isa": "y", "caches": {}, "lrnn_kernels": "0"}
    content = {"machine": about, "speed": run.as_json()}
    tables.print_speed(content)
    said = capsys.readouterr().out
    path = report.save(content, tmp_path, "small")
    again = json.loads(path.read_text())
    tables.print_speed(again)
    assert capsys.readouterr().out == said
    for name in OPS:
        forms = 2 * 2 + 2 + 1 + 1 + 1  # sweeps, two shapes, one long sequence, orders, the loop
        assert sum(line.startswith(f"{name}  ") for line in said.splitlines()) >= forms, name
        for direction in ("forward", "backward"):
            for dtype in ("float32", "bfloat16"):
                key = Key(name, (2, 8, 8), dtype, direction, threads=run.threads)
                row = run.results.rows[key]
                per_element = OPS[name].bytes_per_element(
                    getattr(torch, dtype), direction == "backward"
                )
                assert row.gbytes_s == pytest.approx(row.gelem_s * per_element)
                assert row.share > 0
    ratios = {(of.case, by.case, of.direction) for of, by in run.results.ratios}
    assert {("numba", "call", "train"), ("numba", "operator", "backward")} <= ratios
    for case in ("packed", "time_major", "loop"):
        assert any(of == case for of, _, _ in ratios), case
    assert "numba time by ours (numba 0)" in said
    assert plot.plot(again, tmp_path, "plot").stat().st_size > 10_000


def _figures(document: str, columns: int) -> dict[str, list[str]]:
    """The rows of a document's table of operators, by their names."""
    found = {}
    for line in (ROOT / document).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if line.startswith("| `") and len(cells) == columns:
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_documents_show_what_the_file_holds():
    """Every operator that is measured, in the full table and in the README's."""
    rows = tables.markdown(json.loads(SHOWN.read_text()))[2:]
    full = {cells[0].strip("` "): [x.strip() for x in cells[1:]] for cells in map(_cells, rows)}
    assert _figures("docs/performance.md", 7) == full
    assert list(full) == [name for name in OPS if name in full]  # a new cell is not measured yet
    short = {name: [x[0], x[2], x[3], x[5]] for name, x in full.items()}
    assert _figures("README.md", 5) == short
    assert SHOWN.name in (ROOT / "docs/performance.md").read_text()


def _cells(line: str) -> list[str]:
    return line.strip("| ").split("|")


def test_every_operator_is_in_the_readme():
    functions = {row.function.__name__ for row in CELLS.values()}
    lines = (ROOT / "README.md").read_text().splitlines()
    calls = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert {
        call.split("(")[0] for call in calls if call.endswith(")") and ", " in call
    } == functions


COMMANDS = ("benchmarks", *(f"benchmarks.{room}" for room in ("cpu", "gpu", "resources", "claims")))


@pytest.mark.parametrize("command", [*COMMANDS, "benchmarks gpu"])
def test_commands_say_what_they_do(command):
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m {command} ")


def test_commands_in_documents_are_there():
    """README and guides name rooms and subjects that exist."""
    for document in ("README.md", "csrc/README.md", "triton_kernels/README.md"):
        text = " ".join((ROOT / document).read_text().split())
        for words in text.split("python -m benchmarks")[1:]:
            name = words.split("`")[0].split()[0] if not words.startswith((" ", "`")) else ""
            assert f"benchmarks{name}" in COMMANDS, f"{document}: python -m benchmarks{words[:40]}"
