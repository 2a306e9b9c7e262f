"""Small networks, images and states that the tests of the fixed-point network share."""

import numpy as np

from lrnn_kernels import fixed_point as fp

IMAGES = np.zeros((2, 4), np.uint8)
NETWORK = fp.Network([np.ones((3, 4), np.int16)])
TRACES = fp.Traces.pack(np.zeros((2, 5, 4), np.bool_))
DRIVEN = fp.neurons(X=np.full((3, 2), 1023), backend="reference")
VOTES = np.zeros((3, 10), np.int32)
