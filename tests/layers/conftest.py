"""Tests of this room are found by cell and backend."""

from tests.conftest import name_what_it_is_about as pytest_itemcollected  # noqa: F401
