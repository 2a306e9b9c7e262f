"""Tests that run in a child (tests/in_child.py) are seen, selected and reported as any other."""

import pytest

from tests import ROOT

pytest_plugins = ["pytester"]

#: Tests of every outcome, around one that ends its process, and another of this process.
CASES = """
import os, pathlib, signal, sys, time
import pytest

in_child = pytest.mark.in_child(PLACE="there")
PARENT = int(os.environ["PARENT"])

@pytest.fixture(scope="module")
def shared():
    with open("shared", "a") as file:
        file.write(f"{os.getpid()}\\n")
    yield
    pathlib.Path("torn down").touch()

@in_child
@pytest.mark.parametrize("number", [1, 2])
def test_there(number, shared):
    assert os.environ["PLACE"] == "there" and os.getpid() != PARENT

def test_here():
    assert "PLACE" not in os.environ and os.getpid() == PARENT

@in_child
def test_fails():
    print("said before")
    value = 6 * 7
    assert value == 43

@in_child
def test_ends():
    print("last words")
    os.kill(os.getpid(), signal.SIGKILL)

@in_child
def test_exits():
    os._exit(3)

@in_child
def test_hangs():
    time.sleep(60)

@in_child
def test_after(shared):
    assert os.environ["PLACE"] == "there"

@in_child
@pytest.mark.skip(reason="for a reason")
def test_skipped():
    pass

@in_child
@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False

@pytest.mark.in_child(PLACE="elsewhere")
def test_elsewhere():
    assert os.environ["PLACE"] == "elsewhere" and os.getpid() != PARENT

@in_child
class TestTeardown:
    @pytest.fixture
    def broken(self):
        yield
        raise ValueError("while it was torn down")

    def test_it(self, broken):
        pass
"""

CONFTEST = """
import os

from tests import in_child
from tests.in_child import pytest_configure
from tests.no_skips import pytest_make_collect_report, pytest_runtest_makereport

in_child.LIMIT = int(os.environ.get("LIMIT", 600))
os.environ["PARENT"] = os.environ.get("PARENT", str(os.getpid()))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest over the cases, in a process of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("LRNN_NO_SKIPS", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\naddopts = --strict-markers")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_cases=CASES)
    return lambda *arguments: pytester.runpytest_subprocess(*arguments)


def test_every_outcome_is_reported(run):
    done = run("-rA", "-k", "not test_hangs")
    done.assert_outcomes(passed=6, failed=3, skipped=1, xfailed=1, errors=1, deselected=1)
    done.stdout.fnmatch_lines_random(
        [
            "PASSED test_cases.py::test_there[[]1[]]",
            "PASSED test_cases.py::test_there[[]2[]]",
            "PASSED test_cases.py::test_here",
            "PASSED test_cases.py::test_after",
            "PASSED test_cases.py::test_elsewhere",
            "FAILED test_cases.py::test_fails - assert 42 == 43",
            "FAILED test_cases.py::test_ends*",
            "FAILED test_cases.py::test_exits*",
            "SKIPPED * test_cases.py:*: for a reason",
            "XFAIL test_cases.py::test_known*",
            "PASSED test_cases.py::TestTeardown::test_it",
            "ERROR test_cases.py::TestTeardown::test_it - ValueError: while it was torn down",
        ]
    )


def test_a_failure_has_its_source_and_what_was_printed(run):
    done = run("-k", "test_fails")
    done.assert_outcomes(failed=1, deselected=11)
    done.stdout.fnmatch_lines(["*assert value == 43", "E * assert 42 == 43", "said before"])


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("test_ends", ["the process that ran this test ended (status -9)*", "*last words*"]),
        ("test_exits", ["the process that ran this test ended (status 3)*"]),
        ("test_hangs", ["*hung, without a result after 9 s*", "*in test_hangs"]),
    ],
)
def test_a_child_that_is_lost_fails_its_test_alone(run, which, words, monkeypatch):
    if which == "test_hangs":
        monkeypatch.setenv("LIMIT", "9")
    done = run("-k", f"{which} or test_after")
    done.assert_outcomes(passed=1, failed=1, deselected=10)
    done.stdout.fnmatch_lines(words)


def test_one_child_runs_all_and_keeps_fixtures(run, pytester):
    run("-k", "test_there or test_after or test_skipped").assert_outcomes(
        passed=3, skipped=1, deselected=8
    )
    assert len((pytester.path / "shared").read_text().split()) == 1
    assert (pytester.path / "torn down").exists()


def test_a_test_between_two_of_a_child(run):
    """Fixtures of the parent's packages are torn down where a child's test comes next."""
    run("-k", "test_here or test_there or test_elsewhere").assert_outcomes(passed=4, deselected=8)


def test_selection_by_node_id(run):
    done = run("test_cases.py::test_there[2]", "-v")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["test_cases.py::test_there[[]2[]] PASSED*"])


def test_the_first_failure_ends_the_run(run):
    done = run("-x")
    done.assert_outcomes(passed=3, failed=1)


def test_collecting_shows_them_and_runs_nothing(run, pytester):
    done = run("--collect-only", "-q")
    done.stdout.fnmatch_lines(
        ["test_cases.py::test_there[[]1[]]", "test_cases.py::test_fails", "12 tests collected*"]
    )
    assert not (pytester.path / "shared").exists()


def test_a_child_that_fails_at_its_end_fails_the_run(run, pytester):
    pytester.makepyfile(
        test_late="""
import atexit, os, pytest

@pytest.mark.in_child(PLACE="there")
def test_it():
    atexit.register(os._exit, 7)
"""
    )
    done = run("test_late.py")
    done.assert_outcomes(passed=1)
    assert done.ret != 0
    done.stderr.fnmatch_lines(["a process that ran tests failed at its end (status 7)*"])


def test_an_end_that_an_earlier_test_caused(run, pytester):
    pytester.makepyfile(
        test_between="""
import os, pytest, threading, time
pytestmark = pytest.mark.in_child(PLACE="there")

def test_first():
    threading.Timer(1, os._exit, [9]).start()

@pytest.mark.parametrize("number", [2, 3])
def test_next(number):
    time.sleep(2 if number == 2 else 0)
"""
    )
    done = run("test_between.py", "-v")
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(["*test_next[[]2[]] FAILED*", "*test_next[[]3[]] PASSED*"])


def test_what_only_a_child_cannot_import(run, pytester):
    pytester.makepyfile(
        test_more="""
import os, pytest
pytestmark = pytest.mark.in_child(PLACE="there")
if "PLACE" in os.environ:
    import no_such_module

def test_it():
    pass
"""
    )
    done = run("test_more.py")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*ended (status 2)*", "*No module named 'no_such_module'*"])


def test_a_skip_within_obeys_the_rules(run, monkeypatch):
    monkeypatch.setenv("LRNN_NO_SKIPS", "1")
    done = run("-k", "test_skipped")
    done.assert_outcomes(errors=1, deselected=11)
    done.stdout.fnmatch_lines(["skipped, where nothing may be: *for a reason*"])


def test_only_facts_of_the_machine_may_skip(run, pytester, monkeypatch):
    """Of tests and of whole files, where nothing may be left out."""
    monkeypatch.setenv("LRNN_NO_SKIPS", "1")
    pytester.makepyfile(
        test_some="""
import pytest

@pytest.mark.skip(reason="this machine has a GPU")
def test_of_the_machine():
    pass

@pytest.mark.skip(reason="the GPU kernels are not there")
def test_of_a_missing_piece():
    pass
""",
        test_a_file="""
import pytest
pytest.importorskip("no_such_module")
""",
    )
    run("test_some.py").assert_outcomes(errors=1, skipped=1)
    run("test_a_file.py").assert_outcomes(errors=1)
