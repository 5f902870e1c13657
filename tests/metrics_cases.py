"""Random votes and predictions for the tests of the metrics: few raters, zero votes, zero
probabilities, ties, one-hot, uniform.

Hypothesis picks the sizes and a seed, numpy fills the rows: drawing every cell by hypothesis took
longer than the tests.
"""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def always(*strategies, **named):
    """`given`, however long an example takes: a busy machine is no failure."""
    patient = settings(suppress_health_check=[HealthCheck.too_slow])
    return lambda test: patient(given(*strategies, **named)(test))


def weights(random, labels):
    """One row of weights of one of the kinds that predictions come in, zeros among them; some row
    is always above 0.
    """
    kinds = (
        lambda: random.integers(0, 10, labels),
        lambda: random.integers(0, 2, labels),
        lambda: random.integers(0, 21, labels) / 20,
        lambda: random.dirichlet(np.ones(labels)),
        lambda: random.dirichlet(np.full(labels, 0.05)) * (random.random(labels) > 0.3),
        lambda: np.full(labels, 1 / labels),
        lambda: np.eye(labels)[random.integers(labels)],
    )
    row = np.asarray(kinds[random.integers(len(kinds))](), dtype=float)
    return row if row.sum() > 1e-3 else np.eye(labels)[random.integers(labels)]


def fill(n, labels, seed):
    """(truth, predicted), both (n, labels): votes of up to nine a label; one prediction in five
    equals the truth.
    """
    random = np.random.default_rng(seed)
    truth = random.integers(0, 10, (n, labels)) * (random.random((n, labels)) > 0.4).astype(float)
    truth[truth.sum(axis=1) == 0, 0] = 1
    truth = truth / truth.sum(axis=1, keepdims=True)
    predicted = np.array([weights(random, labels) for _ in range(n)])
    predicted = predicted / predicted.sum(axis=1, keepdims=True)
    return truth, np.where(random.random((n, 1)) < 0.2, truth, predicted)


def cases(least=1, most=12):
    """Strategy of (truth, predicted), both (n, K) with least <= n <= most and 2 <= K <= 7."""
    return st.builds(fill, st.integers(least, most), st.integers(2, 7), st.integers(0, 2**32 - 1))


def random_case(seed, n=60, labels=6, raters=9):
    """One seeded case: raters vote at random, predictions are Dirichlet draws with about a quarter
    of exact zeros.
    """
    random = np.random.default_rng(seed)
    truth = random.multinomial(raters, random.dirichlet(np.ones(labels), size=n)) / raters
    predicted = random.dirichlet(np.ones(labels), size=n) * (random.random((n, labels)) > 0.25)
    predicted[predicted.sum(axis=1) == 0, 0] = 1.0
    return truth, predicted / predicted.sum(axis=1, keepdims=True)
