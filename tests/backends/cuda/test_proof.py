"""What runs the sections of the GPU's proof: a unit that fails costs itself alone, time that is
over is told, and what a killed run reached is on the disk."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from benchmarks.gpu import journal as journals
from benchmarks.gpu import prepare
from benchmarks.gpu import proof as proofs
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.journal import Journal, collect, failures, read
from benchmarks.gpu.proof import Proof, Section
from tests import ROOT

FAULTY = "tests.backends.cuda.faulty_section"


def section(name: str = "faulty", **options) -> Section:
    return Section(name, **{"weight": 10, "least": 0, "most": 60, "module": FAULTY} | options)


def run(folder, units: str, *sections: Section, seconds: float = 100, say=print) -> dict:
    """The content of the results of a run, which are what its lines give."""
    journal = Journal(folder, "run")
    journal.write(minutes=seconds / 60)
    until, environment = time.monotonic() + seconds, {"FAULTY_UNITS": units}
    Proof(journal, until, True, environment, say).run(sections or (section(),))
    path = journal.save()
    content = json.loads(path.read_text())
    assert content == json.loads(json.dumps(collect(read(journal.lines))))
    assert not list(folder.glob("*.[0-9]*.json"))  # no part of a file is left
    return content


def found(content: dict, name: str = "faulty") -> list[str]:
    return [row["operator"] for row in content["sections"][name]["results"] if "operator" in row]


@pytest.mark.parametrize("together", [1, 3])
def test_a_failure_costs_its_unit_alone(together, tmp_path, monkeypatch):
    monkeypatch.setattr(proofs, "cores", lambda: 8)
    words = "good raises good dies good crashes wrong poisons good"
    content = run(tmp_path, words, section(together=together))
    faulty = content["sections"]["faulty"]
    assert faulty["state"] == "done"
    assert sorted(found(content)) == sorted(words.replace(" dies", "").split())
    why = {failure["unit"][0]: failure for failure in faulty["failures"]}
    assert why.keys() == {"raises", "dies", "crashes", "wrong"}
    assert why["raises"]["why"] == "ValueError: this unit raises"
    assert "in run" in why["raises"]["wrote"]
    assert why["dies"]["why"] == why["crashes"]["why"] == "its process died"
    assert "status -9" in why["dies"]["wrote"]
    assert "Segmentation fault" in why["crashes"]["wrote"]
    assert why["wrong"]["why"] == "a value is off"
    assert len(failures(content)) == 4


def test_a_process_is_used_again_until_it_is_lost(tmp_path):
    content = run(tmp_path, "good good poisons good")
    processes = [row["process"] for row in content["sections"]["faulty"]["results"]]
    assert processes[0] == processes[1] == processes[2] != processes[3]


def test_a_unit_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(proofs, "SILENCE", 0.5)
    said = []
    content = run(tmp_path, "hangs good", section(most=2.5), say=said.append)
    assert any(line.startswith("   still at hangs, ") for line in said)
    assert any(line.endswith("s: it will take long") for line in said)
    (failure,) = content["sections"]["faulty"]["failures"]
    assert failure["why"].startswith("no end after")
    assert found(content) == ["hangs", "good"]


def test_time_that_is_over_is_told(tmp_path, monkeypatch):
    """A unit at which the time ends is no failure, and the next section has its own."""
    monkeypatch.setattr(proofs, "GRACE", 0.2)
    sections = (section("first", weight=1), section("second", weight=20))
    content = run(tmp_path, "slow slow hangs good", *sections, seconds=12)
    first, second = (content["sections"][name] for name in ("first", "second"))
    assert first["state"] == second["state"] == "cut"
    assert first["why"] == "its time was over"
    assert first["failures"] == []
    assert ["good"] in [x["unit"] for x in first["left_out"]]
    assert found(content, "second") == ["slow", "slow", "hangs"]


def test_a_section_that_has_no_time_is_skipped(tmp_path):
    content = run(tmp_path, "good", section("long", least=1e4), section("short", weight=1e-3))
    long, short = (content["sections"][name] for name in ("long", "short"))
    assert long["state"] == "skipped"
    assert long["why"].endswith("s are left, it needs 10000")
    assert short["state"] == "done"


def test_a_section_without_units_says_why(tmp_path):
    content = run(tmp_path, "!the tool is not installed", section(needed=True), section("next"))
    assert content["sections"]["faulty"]["why"] == "the tool is not installed"
    assert list(content["sections"]) == ["faulty"]  # the next one needs it
    content = run(tmp_path, "raises!")
    (failure,) = content["sections"]["faulty"]["failures"]
    assert failure["why"] == "ValueError: no units"
    content = run(tmp_path, "dies")
    (failure,) = content["sections"]["faulty"]["failures"]
    assert failure["why"] == "the process that was to name its units ended"


def test_processes_that_only_die_are_given_up(tmp_path):
    content = run(tmp_path, " ".join(["dies"] * 9))
    faulty = content["sections"]["faulty"]
    assert (faulty["state"], len(faulty["failures"])) == ("cut", proofs.TRIES)
    assert len(faulty["left_out"]) == 9 - proofs.TRIES


def test_what_follows_does_without_what_failed(tmp_path):
    sections = (section("library", without={"LRNN_CUDA": "0"}), section("next"))
    content = run(tmp_path, "good raises", *sections)
    said = {name: x["results"][0]["cuda"] for name, x in content["sections"].items()}
    assert said["next"] == "0" != said["library"]


KILLED = f"""
import sys, time
from pathlib import Path
from benchmarks.gpu.journal import Journal
from benchmarks.gpu.proof import Proof, Section
journal = Journal(Path(sys.argv[1]), "run")
journal.write(minutes=1)
sections = [Section(name, 10, 0, 60, module={FAULTY!r}) for name in ("first", "second")]
Proof(journal, time.monotonic() + 60, True, {{"FAULTY_UNITS": "good wrong slow"}}).run(sections)
"""


def test_a_killed_run_has_proved_what_it_reached(tmp_path, capsys):
    """The lines of the second section are there, the JSON of the first, and ``show`` makes the
    other of the one."""
    running = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    for line in running.stdout:
        if "second" in line:
            break
    for line in running.stdout:
        if "at slow" in line:
            break
    running.send_signal(signal.SIGKILL)
    running.wait()
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["sections"]["first"]["state"] == "done"
    lines = tmp_path / "run.jsonl"
    with lines.open("a") as file:
        file.write('{"at": 3, "sect')
    assert main(["show", str(lines)]) == 2  # it has no machine
    assert "FAILED: second, wrong: a value is off" in capsys.readouterr().out
    again = json.loads((tmp_path / "run.json").read_text())
    assert found(again, "second")[:3] == ["good", "wrong", "slow"]
    assert again["sections"]["second"]["state"] == "running"
    assert again["sections"]["second"]["state"] in journals.STATES


def test_a_run_that_is_told_to_end_says_what_it_reached(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "gpu", "--dry-run", "--section", "machine"]
    running = subprocess.Popen(
        [*command, "--minutes", "5", "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "every result goes to" in running.stdout.readline()
    running.stdout.readline()
    running.terminate()
    rest = running.stdout.read()
    assert running.wait() == 2  # before it knew the machine
    assert "FAILED: the run, : interrupted" in rest
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["sections"]["library"]["state"] == "running"


def test_nothing_is_shown_of_no_file(tmp_path, capsys):
    assert main(["show", str(tmp_path / "none")]) == 2
    assert "NAME.jsonl, got" in capsys.readouterr().err


def test_prepared_kernels_are_taken(tmp_path, monkeypatch):
    """Into a folder of this user's, and the environment finds them by what their names say."""
    made = tmp_path / "made"
    made.mkdir()
    digest = "0123456789abcdef"
    names = [f"kernels-cuda-{digest}-x86_64-sm_90-sm_100-virtual", "gpu-plan-0123456789abcdef"]
    names += [f"kernels-{digest}-x86_64-avx2-avx512_bf16", f"fixed_point-abi-{digest}-x86_64-avx2"]
    for name in names:
        (made / f"{name}.so").write_text(name)
        (made / f"{name}.hash").write_text("a stamp")
    made.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = prepare.take(made)
    taken = os.stat(environment["LRNN_CACHE"])
    assert taken.st_uid == os.geteuid()
    assert taken.st_mode & 0o077 == 0
    assert sorted(os.listdir(environment["LRNN_CACHE"])) == sorted(os.listdir(made))
    assert environment["LRNN_CUDA_ARCHITECTURES"] == "90,100-virtual"
    assert environment["LRNN_BUILD_ISAS"] == "avx2,avx512_bf16"


@pytest.mark.parametrize("status", [0, 1])
def test_kernels_are_prepared(status, tmp_path, capsys, monkeypatch):
    """For Hopper, in the folder alone, without what was compiled on the way; or it says no."""
    monkeypatch.delenv("LRNN_CUDA_ARCHITECTURES", raising=False)
    name = "kernels-cuda-0123456789abcdef-x86_64-sm_90"
    asked = {}

    def build(command, env, **options):
        asked.update(env)
        (tmp_path / "objects").mkdir()
        for suffix in (".so", ".hash"):
            (tmp_path / f"{name}{suffix}").write_text("")
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", build)
    assert main(["prepare", "--library", str(tmp_path)]) == status
    assert asked["LRNN_CACHE"] == str(tmp_path)
    assert (asked["LRNN_CUDA"], asked["LRNN_CUDA_ARCHITECTURES"]) == ("1", "90")
    assert (tmp_path / "objects").exists() == (status == 1)
    assert (name in capsys.readouterr().out) == (status == 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert prepare.take(tmp_path)["LRNN_CUDA_ARCHITECTURES"] == "90"


def test_a_folder_without_kernels_is_refused(tmp_path, capsys):
    assert main(["--library", str(tmp_path / "none")]) == 2
    assert "--library must name a folder that" in capsys.readouterr().err
    assert main(["prepare"]) == 2
    assert "prepare needs --library FOLDER" in capsys.readouterr().err
