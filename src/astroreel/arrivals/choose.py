"""Which unlabelled objects a person should label next: doubtful, unlike each other, and of rare classes.

Objects are drawn one after the other by k-means++ (Arthur & Vassilvitskii 2007), weighted by their worth: an
object's chance is its worth times its squared distance to the nearest one drawn before. As in BADGE (Ash et
al. 2020, ICLR) the draw weighs doubt and diversity without a parameter between them; here the worth also
counts how few labels there are of the classes that an object may be of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Keeps the logarithm of a probability finite.
_LEAST = 1e-6


def choose(
    probabilities: NDArray[np.float64],
    embeddings: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    counts: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Indices of ``n`` different objects, or of all where there are fewer, in the order they were drawn.

    Parameters
    ----------
    probabilities
        (N, K) of each class; rows sum to 1.
    embeddings
        (N, D) points whose distance says how unlike two objects are, such as `log_odds`.
    n
        How many.
    rng
        Draws them.
    counts
        (K,) labels of each class that are there already; None: none.
    """
    count = min(n, len(probabilities))
    worth = doubt(probabilities) * rarity(probabilities, counts)
    # Where nothing is doubtful any more, what is unlike the rest still is worth a label.
    worth = np.maximum(worth, _LEAST)
    chosen = np.empty(count, np.int64)
    nearest = np.ones(len(probabilities))
    free = np.ones(len(probabilities), bool)
    for place in range(count):
        chances = np.where(free, worth * nearest, 0.0)
        if not chances.any():  # all that are left coincide with one that is drawn
            chances = np.where(free, worth, 0.0)
        drawn = int(rng.choice(len(chances), p=chances / chances.sum()))
        chosen[place], free[drawn] = drawn, False
        squares = ((embeddings - embeddings[drawn]) ** 2).sum(axis=1)
        nearest = squares if place == 0 else np.minimum(nearest, squares)
    return chosen


def doubt(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of each row, (N,), from 0 for certainty to 1 for none at all."""
    p = np.clip(probabilities, _LEAST, 1.0)
    return -(p * np.log(p)).sum(axis=1) / np.log(p.shape[1])


def rarity(probabilities: NDArray[np.float64], counts: ArrayLike | None = None) -> NDArray[np.float64]:
    """Expected worth of one more label, (N,), where that of a class falls as 1/sqrt(1 + its labels).

    The error of a class's recall, and of its mean in a network's features, falls so.
    """
    labels = np.zeros(probabilities.shape[1]) if counts is None else np.asarray(counts, np.float64)
    return probabilities @ (1.0 / np.sqrt(1.0 + labels))


def log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred logarithms of the probabilities, (N, K): the network's logits but for their mean."""
    logs = np.log(np.clip(probabilities, _LEAST, 1.0))
    return logs - logs.mean(axis=1, keepdims=True)
