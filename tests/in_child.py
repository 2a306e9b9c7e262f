"""Tests that need an environment of their own run in a child, item by item.

    pytestmark = pytest.mark.in_child(TRITON_INTERPRET="1")

Such tests are collected, selected and reported as any other. The first that is to run starts a
pytest over their files with these variables set, and that child runs each of them when it is asked
to and sends the reports back. It serves all tests of its environment. One that ends or hangs fails
the test that it was at, with what it wrote, and the next test gets a new one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest
from _pytest.runner import runtestprotocol

PIPE = "LRNN_TESTS_PIPE"  # in the environment of a child: the number of its end of the pipe
LIMIT = 600  # seconds; the child of a test that takes longer hangs
TAIL = 6000  # characters of a child's output in a failure


class Child:
    """A pytest that runs the items of some files, one after the other, as it is told."""

    def __init__(self, config: pytest.Config, files: list[str], variables: dict[str, str]) -> None:
        self.config = config
        self.pipe, theirs = Pipe()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.told = 0  # bytes of output, up to the last report
        self.lost = False
        options = ["-p", "tests.in_child", "-p", "no:cacheprovider", "--capture=tee-sys"]
        options += [f"--verbosity={config.get_verbosity()}", f"--tb={config.option.tbstyle}"]
        options += [f"--rootdir={config.rootpath}"]
        options += ["-c", str(config.inipath)] if config.inipath else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *files],
            cwd=config.rootpath,
            env={**os.environ, **variables, PIPE: str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        theirs.close()

    def run(self, item: pytest.Item, following: pytest.Item | None) -> list[pytest.TestReport]:
        """The reports of an item; the next item says which fixtures are kept for it."""
        try:
            self.pipe.send((item.nodeid, following.nodeid if following else None))
            if self.pipe.poll(LIMIT):
                reports = self.pipe.recv()
                self.told = os.fstat(self.output.fileno()).st_size
                restore = self.config.hook.pytest_report_from_serializable
                return [restore(config=self.config, data=data) for data in reports]
            why = f"hung, without a result after {LIMIT} s"
            self.process.send_signal(signal.SIGABRT)  # faulthandler then writes where it is
        except (EOFError, OSError):
            why = "ended"
        self.lost = True
        text = f"the process that ran this test {why} {self.end()}"
        where = (item.nodeid, item.location, {name: 1 for name in item.keywords})
        return [pytest.TestReport(*where, outcome="failed", longrepr=text, when="call")]

    def end(self) -> str:
        """Ends it; its status in words, and what it wrote since its last report."""
        self.pipe.close()  # which ends its loop, if it is there
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        status = self.process.wait()
        self.output.seek(self.told)
        return f"(status {status}); it wrote\n{self.output.read().decode(errors='replace')[-TAIL:]}"


class Parent:
    """Hands marked items to the child of their environment."""

    def __init__(self) -> None:
        self.children: dict[tuple, Child] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None):
        key = _environment(item)
        if key is None:
            return None
        child = self.children.get(key)
        if child is None or child.lost:
            files = {str(x.path): 1 for x in item.session.items if _environment(x) == key}
            child = self.children[key] = Child(item.config, list(files), dict(key))
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        following = nextitem if nextitem and _environment(nextitem) == key else None
        for report in child.run(item, following):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        # No fixture was set up here, but those of the item before may be kept for this one.
        item.session._setupstate.teardown_exact(nextitem)
        return True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for child in (child for child in self.children.values() if not child.lost):
            how = child.end()
            if child.process.returncode and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
                print(f"\na process that ran tests failed at its end {how}", file=sys.stderr)


class Loop:
    """What a child does in place of pytest's own loop over all items."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # pytest's own loop says which files could not be imported
        items = {item.nodeid: item for item in session.items}
        while True:
            try:
                name, following = self.pipe.recv()
            except EOFError:
                return True
            reports = runtestprotocol(items[name], log=False, nextitem=items.get(following))
            save = session.config.hook.pytest_report_to_serializable
            self.pipe.send([save(config=session.config, report=report) for report in reports])


def _environment(item: pytest.Item) -> tuple[tuple[str, str], ...] | None:
    marker = item.get_closest_marker("in_child")
    return tuple(sorted(marker.kwargs.items())) if marker else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "in_child(**variables): runs in a process of such an environment"
    )
    pipe = os.environ.pop(PIPE, None)
    config.pluginmanager.register(Loop(Connection(int(pipe))) if pipe else Parent())
