"""The neurons that there are, by name; each in a file."""

from ..model import Model
from .da import DA
from .hh import HH
from .stg import STG

MODELS: dict[str, Model] = {model.name: model for model in (STG, DA, HH)}

__all__ = ["DA", "HH", "MODELS", "STG"]
