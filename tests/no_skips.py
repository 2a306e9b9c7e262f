"""With LRNN_NO_SKIPS=1 nothing is left out by accident."""

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A skipped test fails then, unless it needs a GPU."""
    report = yield
    if (
        report.skipped
        and os.environ.get("LRNN_NO_SKIPS") == "1"
        and "GPU" not in str(report.longrepr)
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report
