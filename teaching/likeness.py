"""Alike texts together: the order in which a fair person reads them."""

import itertools

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.feature_extraction.text import TfidfVectorizer

from teaching.cleaning import PICTURE

MEASURE = (
    "cosine of the counts of pieces of 3 to 5 letters, rare ones counting more; average linkage"
)
MOST_ALIKE = 3000  # texts that are put in order together
MOST_OPTIMAL = 600  # of these, until which neighbours are the best that the tree allows


def in_order(texts: list[str]) -> tuple[list[int], list[float]]:
    """(the places of texts so that neighbours are alike, how alike each is to the one before it, from 0 to 1)."""
    order: list[int] = []
    alike: list[float] = []
    for start in range(0, len(texts), MOST_ALIKE):
        likeness = likenesses(texts[start : start + MOST_ALIKE])
        found = leaves(likeness)
        order += [start + place for place in found]
        alike.append(0.0)
        for before, place in itertools.pairwise(found):
            alike.append(float(likeness[before, place]))
    return order, alike


def likenesses(texts: list[str]) -> np.ndarray:
    """How alike texts are, by MEASURE: (N, N), from 0 to 1."""
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    try:
        counts = pieces.fit_transform([PICTURE.sub(" ", text) for text in texts])
    except ValueError:  # no text has a piece
        return np.eye(len(texts))
    return np.clip((counts @ counts.T).toarray(), 0, 1)


def leaves(likeness: np.ndarray) -> list[int]:
    """The order of texts in a tree of those that are alike."""
    if len(likeness) < 3:
        return list(range(len(likeness)))
    distance = 1 - likeness
    np.fill_diagonal(distance, 0)
    best = len(likeness) <= MOST_OPTIMAL
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=best)
    return [int(place) for place in leaves_list(tree)]
