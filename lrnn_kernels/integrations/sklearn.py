"""Estimators for sequences with scikit-learn's interface: ``fit``, ``predict``, ``score``.

from lrnn_kernels.integrations.sklearn import SequenceClassifier
accuracy = SequenceClassifier("BMRU", epochs=20).fit(X, y).score(X_test, y_test)

Needs scikit-learn: pip install "lrnn-kernels[sklearn]". Raises ImportError without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..extras import needs
from ..models import Backbone, BackboneConfig
from ..options import integer, number

with needs("lrnn_kernels.integrations.sklearn", "sklearn", extra="sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import (
        check_array,
        check_consistent_length,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )

__all__ = ["SequenceClassifier", "SequenceRegressor"]


class _SequenceEstimator(BaseEstimator):
    """What both estimators share: a ``models.Backbone`` that reads the last step, or the mean, of
    scaled sequences, trained by AdamW."""

    def __init__(
        self,
        layer: Any = "BMRU",
        hidden_size: int = 64,
        depth: int = 1,
        *,
        head: str = "last",
        epochs: int = 50,
        batch_size: int = 32,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        backbone: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = 0,
        device: str = "cpu",
    ) -> None:
        self.layer = layer
        self.hidden_size = hidden_size
        self.depth = depth
        self.head = head
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.backbone = backbone
        self.random_state = random_state
        self.device = device

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _fit(self, sequences: list[np.ndarray], targets: Tensor, outputs: int) -> None:
        """Trains a new network; targets (N,) classes, or (N,outputs) numbers."""
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        every = np.concatenate(sequences)
        self.mean_, scale = every.mean(0), every.std(0)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        settings = {"positions": 0, "dropout": 0.0, **(self.backbone or {})}
        config = BackboneConfig(
            every.shape[1],
            outputs,
            self.layer,
            width=self.hidden_size,
            depth=self.depth,
            head=self.head,
            **settings,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network_ = Backbone(config).to(self.device)
        loss = torch.nn.functional.mse_loss
        if not targets.is_floating_point():
            loss = torch.nn.functional.cross_entropy
        self._train(self._scaled(sequences), targets, loss, seed)

    def _train(self, sequences: list[Tensor], targets: Tensor, loss, seed: int) -> None:
        network = self.network_.train()
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=number("lr", self.lr, 0.0, float("inf"), open_low=True),
            weight_decay=number("weight_decay", self.weight_decay, 0.0, float("inf")),
        )
        batch = integer("batch_size", self.batch_size)
        epochs = integer("epochs", self.epochs)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        order = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            for rows in torch.randperm(len(sequences), generator=order).split(batch):
                optimizer.zero_grad()
                out = self._out([sequences[k] for k in rows.tolist()])
                loss(out, targets[rows].to(out.device)).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            schedule.step()
        network.eval()

    def _out(self, sequences: list[Tensor]) -> Tensor:
        """The network's answers to sequences of any lengths, (N,outputs)."""
        x = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True).to(self.device)
        lengths = torch.tensor([len(s) for s in sequences], device=x.device)
        return self.network_(x, lengths=lengths)[0]

    @torch.no_grad()
    def _answers(self, X) -> np.ndarray:
        check_is_fitted(self)
        sequences = self._scaled(self._sequences(X, first=False))
        batch = integer("batch_size", self.batch_size)
        pieces = [
            self._out(sequences[first : first + batch]) for first in range(0, len(sequences), batch)
        ]
        return torch.cat(pieces).cpu().numpy()

    def _scaled(self, sequences: list[np.ndarray]) -> list[Tensor]:
        return [
            torch.from_numpy(((s - self.mean_) / self.scale_).astype(np.float32)) for s in sequences
        ]

    def _sequences(self, X, first: bool) -> list[np.ndarray]:
        """X as sequences (T,C) in float64, checked; in ``fit``, the first time, their channels are
        kept."""
        if _is_list_of_sequences(X):
            found = [check_array(x, input_name=f"X[{k}]") for k, x in enumerate(X)]
            found = [x.astype(np.float64) for x in found]
        else:
            found = check_array(X, allow_nd=True, dtype=np.float64, input_name="X", estimator=self)
            if found.ndim == 2:
                # One channel: its steps are scikit-learn's features.
                found = validate_data(self, X, reset=first, dtype=np.float64)[:, :, None]
            if found.ndim > 3:
                raise ValueError(f"X must have shape (N,T) or (N,T,C), got {found.shape}")
            found = list(found)
        channels = {x.shape[1] for x in found}
        expected = channels if first else {self.channels_}
        if len(channels) > 1 or channels != expected:
            raise ValueError(
                f"every sequence of X must have {min(expected)} channels, got {sorted(channels)}"
            )
        if first:
            (self.channels_,) = channels
        return found


def _is_list_of_sequences(X) -> bool:
    """Whether X holds one array (T,C) a sequence, and is no array itself."""
    if isinstance(X, np.ndarray) and X.dtype != object:
        return False
    return isinstance(X, Sequence | np.ndarray) and len(X) > 0 and all(np.ndim(x) == 2 for x in X)


_SHARED = """

    X is a list of arrays (T,C), of any lengths; an array (N,T,C); or (N,T), of one channel. Each
    channel is scaled to mean 0 and variance 1 over all steps of the training set, {targets} The
    same random_state, data and machine give the same network, a ``models.Backbone`` without
    positions, trained by AdamW, its rate falling along a cosine.

    Args:
        layer: of lrnn_kernels.nn by name, or anything else that BackboneConfig takes as cell.
        hidden_size: width of the network and of its states.
        depth: number of blocks.
        head (keyword): "last", the answer after the last step, or "mean", over all steps.
        epochs, batch_size, lr, weight_decay (keywords): of the training.
        backbone (keyword): further arguments of BackboneConfig, a dict.
        random_state (keyword): of the draw and of the order of batches.
        device (keyword): where the network is.

    Attributes, once fitted: ``network_``, ``channels_``, ``mean_``, ``scale_``{more}.

    Raises ValueError or TypeError for wrong arguments, in ``fit``, as scikit-learn has it.
    """


class SequenceClassifier(ClassifierMixin, _SequenceEstimator):
    __doc__ = "A classifier of sequences, with scikit-learn's interface." + _SHARED.format(
        targets="and classes may be any labels.", more=", ``classes_``"
    )

    def fit(self, X, y) -> SequenceClassifier:
        """Trains on sequences X and their labels y (N,)."""
        sequences, y = self._sequences(X, first=True), column_or_1d(y, warn=True)
        check_consistent_length(sequences, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._fit(sequences, torch.from_numpy(labels), len(self.classes_))
        return self

    def predict_proba(self, X) -> np.ndarray:
        """The probability of each of ``classes_``, (N,classes)."""
        logits = torch.from_numpy(self._answers(X)).double()
        return torch.softmax(logits, -1).numpy()

    def predict(self, X) -> np.ndarray:
        """The likeliest label of each sequence, (N,)."""
        answers = self._answers(X)
        return self.classes_[answers.argmax(1)]


class SequenceRegressor(RegressorMixin, _SequenceEstimator):
    __doc__ = "A regressor of sequences, with scikit-learn's interface." + _SHARED.format(
        targets="and so is each target.", more=", ``target_mean_``, ``target_scale_``"
    )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y) -> SequenceRegressor:
        """Trains on sequences X and targets y, (N,) or (N,outputs)."""
        sequences = self._sequences(X, first=True)
        if y is None:
            raise ValueError("SequenceRegressor requires y to be passed, but the target y is None")
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(sequences, y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._flat = y.ndim == 1
        y = y.reshape(len(y), -1)
        self.target_mean_, scale = y.mean(0), y.std(0)
        self.target_scale_ = np.where(scale > 0, scale, 1.0)
        scaled = ((y - self.target_mean_) / self.target_scale_).astype(np.float32)
        self._fit(sequences, torch.from_numpy(scaled), y.shape[1])
        return self

    def predict(self, X) -> np.ndarray:
        """The target of each sequence, in the shape of ``fit``'s y."""
        answers = self._answers(X) * self.target_scale_ + self.target_mean_
        return answers[:, 0] if self._flat else answers
