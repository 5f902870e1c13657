"""Student's t with any positive number of degrees of freedom, with nothing but `math`.

The degrees are G_eff - 1 and so seldom whole. Written out here for two reasons: importing
scipy.stats takes longer than scoring a file, and a verifier that has only the standard library can
make the same numbers again.

Source: P(|T| > t) = I_x(df/2, 1/2) with x = df / (df + t²) (Abramowitz and Stegun 1964, 26.7.1);
the incomplete beta function I by its continued fraction (DLMF 8.17.22), evaluated as Lentz 1976
does. Agrees with scipy to 1e-10 relative (tests).
"""

import math
from functools import lru_cache

STEPS = 5000
TINY = 1e-300


def two_sided_p(t: float, df: float) -> float:
    """P(|T| > |t|) of Student's t with df > 0 degrees of freedom: 1 at t = 0, towards 0 for large
    |t|."""
    _positive(df)
    if math.isnan(t):
        return math.nan
    if math.isinf(t):
        return 0.0
    square = t * t
    x, rest = df / (df + square), square / (df + square)
    half = df / 2
    if rest == 0:
        return 1.0
    front = math.exp(
        math.lgamma(half + 0.5)
        - math.lgamma(half)
        - math.lgamma(0.5)
        + half * math.log(x)
        + 0.5 * math.log(rest)
    )
    # Each side of the mean the continued fraction converges fast on one of the two forms only.
    if x < (half + 1) / (half + 2.5):
        return min(1.0, front * _continued(half, 0.5, x) / half)
    return max(0.0, 1.0 - front * _continued(0.5, half, rest) / 0.5)


@lru_cache(maxsize=4096)
def critical(alpha: float, df: float) -> float:
    """The t with P(|T| > t) = alpha, for 0 < alpha < 1 and df > 0.

    Newton's steps from the left: the tail is convex, so they go up and never beyond. Where they do
    not settle (few degrees of freedom, far tails) bisection does. A one-sided quantile q is
    critical(2 (1 - q)).
    """
    _positive(df)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: found {alpha}; expected a number between 0 and 1")
    scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    t = 0.0
    for _ in range(40):
        density = 2 * math.exp(scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (two_sided_p(t, df) - alpha) / density if density else math.inf
        if abs(step) <= 4e-15 * t:
            return t
        t += step
        if not 0 < t < 1e150:
            break
    low, high = 0.0, 1.0
    while two_sided_p(high, df) > alpha:
        low, high = high, high * 2
        if high > 1e150:
            raise ValueError(f"df: found {df}; too few degrees of freedom for alpha {alpha}")
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if two_sided_p(middle, df) > alpha:
            low = middle
        else:
            high = middle


def _continued(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, without its front factor."""
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > TINY else TINY)
    value = d
    for m in range(1, STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 + term * d, 1 + term / c
            d = 1 / (d if abs(d) > TINY else TINY)
            c = c if abs(c) > TINY else TINY
            value *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return value


def _positive(df: float) -> None:
    if not (df > 0 and math.isfinite(df)):
        raise ValueError(f"df: found {df}; expected a number of degrees of freedom above 0")
