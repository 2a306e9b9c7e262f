"""Every example in README.md and docs/ runs as it stands there: here, or in a test of the system
that it is about."""

import re

import pytest
import torch

from tests import ROOT

#: Documents whose examples run in another test, which knows what to expect of them.
ELSEWHERE = {
    "docs/adding_a_cell.md": "tests/package/test_guide.py",
    "docs/adding_a_neuron.md": "tests/systems/neurons/test_guide.py",
    "docs/agents.md": "tests/systems/agents/test_documents.py",
    "docs/autoencoders.md": "tests/systems/models/test_documents.py",
    "docs/fpga.md": "tests/package/test_fpga_guide.py",
    "docs/horizon.md": "tests/systems/horizon/test_decide.py",
    "docs/multistability.md": "tests/systems/multistability/test_around.py",
    "docs/recordings.md": "tests/systems/neurons/test_recordings_guide.py",
    "docs/twins.md": "tests/systems/neurons/test_commands.py",
}


def examples(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)


DOCUMENTS = ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
HERE = [name for name in DOCUMENTS if name not in ELSEWHERE and examples(name)]


@pytest.mark.parametrize("document", HERE)
def test_examples_run(document, tmp_path, monkeypatch):
    """One after another, each with what those before it have made."""
    monkeypatch.chdir(tmp_path)
    # TorchRL's import switches it off.
    checked = torch.distributions.Distribution._validate_args
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", checked)
    torch.manual_seed(0)
    scope = {"__name__": document}
    for number, example in enumerate(examples(document)):
        exec(compile(example, f"{document}, example {number}", "exec"), scope)


@pytest.mark.parametrize("document", ELSEWHERE)
def test_examples_run_elsewhere(document):
    assert examples(document)
    assert document.rsplit("/")[-1] in (ROOT / ELSEWHERE[document]).read_text()


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text()
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.S)
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    words = [word for word in " ".join(prose).split() if re.search(r"\w", word)]
    assert len(words) < 900


def test_links_lead_somewhere():
    """Files that documents name, as links, pictures and in the text."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        named = re.findall(r"`(docs/[\w/.-]+\.(?:md|py))`", text)
        linked = [
            str((ROOT / document).parent.joinpath(target).relative_to(ROOT))
            for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
        ]
        missing = [name for name in named + linked if not (ROOT / name).exists()]
        assert not missing, f"{document} names {missing}"
