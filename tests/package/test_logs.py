"""What the package says it says to one logger, shown where nobody has configured logging; only
commands print."""

import ast
import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from lrnn_kernels.backends.build import log
from tests import ROOT

#: What a command is made of, by path in the package: only it writes to the terminal by itself.
COMMANDS = ("__main__.py", "commands", "server.py")

#: Whose stderr is written: the log's own way, and a bar that a caller asked for.
WRITERS = {"backends/build/log.py", "neurons/progress.py"}

#: Loggers of others, which are quieted while they are called.
OTHERS = {"neo", "nicegui", "torch.onnx"}


def _calls() -> list[tuple[str, ast.Call]]:
    """Every call in the package, by its file."""
    return [
        (str(path.relative_to(folder)), node)
        for folder in (ROOT / "lrnn_kernels", ROOT / "triton_kernels")
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def test_only_commands_print():
    printing = {
        path
        for path, call in _calls()
        if ast.unparse(call.func) == "print" and not set(COMMANDS) & set(Path(path).parts)
    }
    writing = {
        path
        for path, call in _calls()
        if ast.unparse(call.func) in ("sys.stderr.write", "sys.stdout.write", "os.write")
    }
    assert not printing
    assert writing == WRITERS


def test_there_is_one_logger():
    names = {
        ast.literal_eval(call.args[0])
        for _, call in _calls()
        if ast.unparse(call.func).split(".")[-1] == "getLogger"
    }
    assert names - OTHERS == {"lrnn_kernels"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _unconfigured(monkeypatch, stderr: io.StringIO, quiet: float = 0.0) -> io.StringIO:
    """As where nobody has configured logging: the tests' runner has."""
    monkeypatch.setattr(log.LOG, "hasHandlers", lambda: False)
    monkeypatch.setattr(log, "QUIET", quiet)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    return stderr


def _compiles(files: int = 3) -> None:
    progress = log.Progress("answers", files)
    for done in range(1, files + 1):
        progress.step(done, f"file {done}")
    progress.end()


def test_progress_goes_over_one_line_of_a_terminal(monkeypatch):
    said = _unconfigured(monkeypatch, Terminal())
    _compiles()
    text = said.getvalue()
    assert text.count("\n") == 2
    assert (
        "\r\033[Klrnn_kernels: compiling answers: 1 of 3 files, 0 s, 2 files left: file 1" in text
    )
    assert text.rpartition("\r\033[K")[2] == "lrnn_kernels: compiled answers in 0 s\n"


def test_a_dumb_terminal_gets_lines(monkeypatch):
    said = _unconfigured(monkeypatch, Terminal())
    monkeypatch.setenv("TERM", "dumb")
    _compiles()
    assert "\r" not in said.getvalue()


def test_progress_is_few_lines_elsewhere(monkeypatch):
    said = _unconfigured(monkeypatch, io.StringIO(), quiet=10.0)
    now = [0.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    progress = log.Progress("answers", 301)
    for done in range(1, 302):
        now[0] += 1.0
        progress.step(done, "a file")
    progress.end()
    lines = said.getvalue().splitlines()
    assert "\r" not in said.getvalue()
    assert lines[0] == "lrnn_kernels: compiling answers: 301 files, once"
    assert lines[1] == "lrnn_kernels: compiling answers: 10 of 301 files, 10 s, 291 files left"
    assert [line.split()[3] for line in lines[1:-1]] == ["10", "30", "70", "150", "230"]
    assert lines[-1] == "lrnn_kernels: compiled answers in 301 s"


def test_records_are_info(monkeypatch, caplog):
    monkeypatch.setattr(log, "QUIET", 0.0)
    with caplog.at_level(logging.INFO, "lrnn_kernels"):
        _compiles()
    assert {(record.name, record.levelname) for record in caplog.records} == {
        ("lrnn_kernels", "INFO")
    }
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "compiling answers: 3 files",
        "compiling answers: 1 of 3 files",
        "compiling answers: 2 of 3 files",
        "compiled answers in 0 s",
    ]


#: What a program does first, and what it then shows of an INFO and of a WARNING.
CONFIGURED = {
    "": "lrnn_kernels: one\nlrnn_kernels: two\n",
    "logging.basicConfig()": "WARNING:lrnn_kernels:two\n",
    "logging.basicConfig(level='INFO')": "INFO:lrnn_kernels:one\nWARNING:lrnn_kernels:two\n",
    "logging.getLogger('lrnn_kernels').setLevel('WARNING')": "lrnn_kernels: two\n",
    "logging.getLogger('lrnn_kernels').addHandler(logging.NullHandler())": "",
    "logging.disable()": "",
    "sys.stderr = None": "",
}


@pytest.mark.parametrize("first", CONFIGURED)
def test_the_user_decides_what_is_shown(first, tmp_path):
    # The package by itself, as setup.py loads it.
    (tmp_path / "lrnn_build").symlink_to(ROOT / "lrnn_kernels" / "backends" / "build")
    script = f"import logging, sys\n{first}\nfrom lrnn_build import log\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "log.info('one'); log.warning('two')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, CONFIGURED[first])
