"""Faces of the layers for other libraries, each a module that needs its own extra.

from lrnn_kernels.integrations.nir import to_nir                  # pip install "lrnn-kernels[nir]"
from lrnn_kernels.integrations.onnx import export_step                       # ...[onnx]
from lrnn_kernels.integrations.sklearn import SequenceClassifier             # ...[sklearn]
from lrnn_kernels.integrations.torchrl import RecurrentModule                # ...[torchrl]
"""
