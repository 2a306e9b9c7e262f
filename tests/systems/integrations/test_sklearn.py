"""Estimators keep scikit-learn's rules, and learn from sequences of any lengths."""

import importlib
import pickle
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from lrnn_kernels.integrations.sklearn import SequenceClassifier, SequenceRegressor

#: Not passed. The first is of other array libraries, off unless a variable turns it on. The second
#: asks that sequences alone give to 1e-7 what they give in a batch, whose products in float32 add
#: in another order: test_padding_does_not_count asks it to the rounding of float32.
LEFT = {"check_array_api_input", "check_methods_subset_invariance"}

#: Of sizes that learn what scikit-learn's checks ask to be learned, quickly.
CHECKED = [
    SequenceClassifier("MinGRU", 4, epochs=10, batch_size=64, lr=0.05),
    SequenceRegressor("LRU", 8, epochs=20, lr=0.03),
]


def _signs(count: int, ragged: bool, seed: int = 0):
    """Sequences of noise whose first step says which class they are of, -1 or 1."""
    generator = np.random.default_rng(seed)
    X, y = [], generator.choice([-1, 1], count)
    for sign in y:
        T = generator.integers(5, 20) if ragged else 12
        x = 0.05 * generator.standard_normal((T, 2))
        x[0, 0] = sign
        X.append(x)
    return (X if ragged else np.stack(X)), y


@pytest.mark.parametrize("estimator", CHECKED, ids=lambda e: type(e).__name__)
@pytest.mark.filterwarnings("ignore")
def test_it_passes_scikit_learns_checks(estimator):
    found = check_estimator(estimator, on_skip=None, on_fail=None)
    assert len(found) > 40
    left = {check["check_name"] for check in found if check["status"] != "passed"}
    assert left <= LEFT


@pytest.mark.parametrize("ragged", [False, True])
def test_it_learns_to_remember(ragged):
    X, y = _signs(128, ragged)
    labels = np.where(y > 0, "up", "down")
    classifier = SequenceClassifier("BMRU", 16, epochs=30, lr=0.01, batch_size=16).fit(X, labels)
    assert list(classifier.classes_) == ["down", "up"]
    X_test, y_test = _signs(32, ragged, seed=1)
    assert classifier.score(X_test, np.where(y_test > 0, "up", "down")) > 0.95
    np.testing.assert_allclose(classifier.predict_proba(X_test).sum(1), 1.0)
    regressor = SequenceRegressor("MinGRU", 16, head="mean", epochs=30, lr=0.01)
    targets = np.stack([100 + 5.0 * y, -y], 1)
    assert regressor.fit(X, targets).score(X, targets) > 0.9
    assert regressor.predict(X_test).shape == (32, 2)


def test_padding_does_not_count():
    X, y = _signs(20, ragged=True)
    classifier = SequenceClassifier("GRU", 8, epochs=1).fit(X, y)
    together = classifier.predict_proba(X)
    alone = np.concatenate([classifier.predict_proba([x]) for x in X])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_network():
    X, y = _signs(20, ragged=True)
    before = torch.get_rng_state()
    one, two, other = (
        SequenceClassifier("BMRU", 8, epochs=2, random_state=seed).fit(X, y).predict_proba(X)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_searched_cloned_and_pickled():
    X, y = _signs(24, ragged=True)
    classifier = SequenceClassifier("BMRU", 4, epochs=1, backbone={"conv": 2})
    search = GridSearchCV(classifier, {"layer": ["BMRU", "LRU"]}, cv=2).fit(X, y)
    assert search.best_params_["layer"] in ("BMRU", "LRU")
    assert clone(classifier).get_params() == classifier.get_params()
    fitted = classifier.set_params(hidden_size=6).fit(X, y)
    assert fitted.network_.config.width == 6
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "X", "message"),
    [
        ({"layer": "BRMU"}, np.zeros((4, 3, 2)), "BRMU"),
        ({"epochs": 0}, np.zeros((4, 3, 2)), "epochs"),
        ({"lr": -1.0}, np.zeros((4, 3, 2)), "lr"),
        ({}, np.zeros((4, 3, 2, 1)), r"X must have shape \(N,T\) or \(N,T,C\), got \(4, 3, 2, 1\)"),
        ({}, [np.zeros((3, 2))] * 3 + [np.zeros((3, 1))], r"must have 1 channels, got \[1, 2\]"),
        ({}, [np.full((3, 2), np.nan)] * 4, r"X\[0\] contains NaN"),
        ({}, [np.zeros((3, 2))] * 3, "inconsistent numbers of samples"),
    ],
)
def test_wrong_arguments_are_refused(options, X, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(**options).fit(X, [0, 1, 0, 1])


def test_other_channels_than_those_of_the_training_are_refused():
    X, y = _signs(8, ragged=True)
    classifier = SequenceClassifier(hidden_size=4, epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"must have 2 channels, got \[3\]"):
        classifier.predict([np.zeros((4, 3))])


def test_without_the_extra_its_name_is_said(monkeypatch, absent):
    monkeypatch.delitem(sys.modules, SequenceClassifier.__module__)
    absent("sklearn")
    with pytest.raises(ImportError, match=r"scikit-learn: pip install 'lrnn-kernels\[sklearn\]'"):
        importlib.import_module(SequenceClassifier.__module__)
