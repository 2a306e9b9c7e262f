"""The files beside the code: versions agree, citations and workflows are what their readers take,
and everything travels in a source distribution."""

import datetime
import re

import pytest
import yaml

import lrnn_kernels
from tests import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

DOI = r"10\.\d{4,}/\S+"


def test_the_version_is_said_in_one_way():
    (latest, date), *_ = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", CHANGELOG, re.M)
    assert latest == lrnn_kernels.__version__ == CITATION["version"]
    assert datetime.date.fromisoformat(date) == CITATION["date-released"]


def test_the_changelog_keeps_its_form():
    """Versions from new to old, each with dated changes of the kinds that Keep a Changelog has."""
    heads = re.findall(r"^## (.*)$", CHANGELOG, re.M)
    assert heads[0] == "[Unreleased]"
    dates = [head.split(" - ")[1] for head in heads[1:]]
    assert dates == sorted(dates, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.M)) <= kinds


def test_the_citation_is_whole():
    """What the Citation File Format 1.2.0 asks of the keys that are used here."""
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["license"] == "Apache-2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert CITATION["authors"] == [{"name": "the lrnn-kernels developers"}]
    assert len(CITATION["references"]) >= 8
    for paper in CITATION["references"]:
        assert {"type", "title", "authors", "year"} <= paper.keys()
        assert all(who.keys() == {"family-names", "given-names"} for who in paper["authors"])
        assert isinstance(paper["year"], int)
        assert re.fullmatch(DOI, paper.get("doi", "10.1000/none"))
        assert all(one.keys() == {"type", "value"} for one in paper.get("identifiers", []))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_is_here_and_publish_nothing(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text()
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        steps = job["steps"]
        assert all(("run" in step) != ("uses" in step) for step in steps)
        commands = "\n".join(step.get("run", "") for step in steps)
        assert not re.search(r"\b(twine|publish|upload|gh release|git push)\b", commands)


def test_the_workflow_runs_what_this_checkout_runs():
    (path,) = WORKFLOWS
    jobs = yaml.safe_load(path.read_text())["jobs"]
    assert {"run": ".ci/run"} in jobs["tests"]["steps"]
    project = (ROOT / "pyproject.toml").read_text()
    (oldest,) = re.findall(r'requires-python = ">=(.*)"', project)
    assert jobs["tests"]["strategy"]["matrix"]["python"][0] == oldest


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_documents_name_files_that_exist(name):
    text = (ROOT / name).read_text()
    assert max(map(len, text.splitlines())) <= 100
    named = re.findall(r"(?<![\w:/])(?:[\w-]+/)+[\w-]+\.(?:md|py)|\b[A-Z]+\.md", text)
    named += re.findall(r"pytest (tests/\S+)", text)
    assert {path for path in named if not (ROOT / path).exists()} == set()
