"""The tests, a room for each kind of promise. Where they and the sources are."""

from pathlib import Path

#: The folder of the repository.
ROOT = Path(__file__).resolve().parents[1]
