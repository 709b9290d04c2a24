"""Figure 4.7: simulated and real light curves laid out in two dimensions by their most telling features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.manifold import TSNE
from sklearn.preprocessing import QuantileTransformer

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.names import class_name
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.measurement import column_names

Floats = NDArray[np.float64]

#: The thesis's: six features, 2000 simulated light curves, perplexity 40.
_FEATURES, _SIMULATED, _PERPLEXITY = 6, 2000, 40.0


def projection(sets: Mapping[str, FeatureSet], seed: int) -> Drawing:
    """Lay out the objects of the sets together, and draw each in a panel of its own.

    The features are those that a forest on the first set, the simulated one, finds most telling; each enters
    by its rank, since some span many powers of ten.

    Parameters
    ----------
    sets
        Two or more sets by name, the simulated one first; of that, the first 2000 objects.
    seed
        Of the forest and of the layout.
    """
    first, *others = sets.values()
    shown = [first.select(np.arange(min(len(first), _SIMULATED))), *others]
    columns = most_telling(first, seed)
    table = np.nan_to_num(np.concatenate([one.features[:, -1][:, columns] for one in shown]))
    quantiles = QuantileTransformer(output_distribution="normal", n_quantiles=min(200, len(table)))
    ranks = quantiles.fit_transform(table)
    perplexity = min(_PERPLEXITY, (len(ranks) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(ranks)
    parts = np.split(places, np.cumsum([len(one) for one in shown])[:-1])
    with canvas(1.0 + 3.4 * len(shown)) as figure:
        panels = figure.subplots(len(shown), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, name, one, part in zip(panels, sets, shown, parts, strict=True):
            colours = [drawing.CLASS_COLOURS[label] for label in one.labels]
            axes.scatter(*part.T, s=5, c=colours, linewidths=0, alpha=0.7)
            axes.set(xticks=[], yticks=[])
            axes.set_title(name, loc="left")
            axes.grid(False)
        present = np.unique(np.concatenate([one.labels for one in shown]))
        handles = [
            Line2D([], [], color=drawing.CLASS_COLOURS[label], marker="o", linestyle="", ms=4)
            for label in present
        ]
        names = [class_name(CLASSES[label]) for label in present]
        figure.legend(handles, names, loc="outside lower center", ncols=3, handletextpad=0.1)
        told = ", ".join(np.array(column_names())[columns])
        return Drawing(
            "projection",
            "Simulated and real light curves",
            f"Laid out by t-SNE from the six features that tell most: {told} (compare the thesis's Figure"
            " 4.7). Where a class of the lower panel lies elsewhere, the simulation misses something.",
            to_svg(figure),
        )


def most_telling(objects: FeatureSet, seed: int) -> NDArray[np.int64]:
    """Columns of the features that matter most to a forest on labelled objects, first the most telling."""
    forest = RandomForestClassifier(100, max_depth=15, n_jobs=-1, random_state=seed)
    forest.fit(np.nan_to_num(objects.features[:, -1]), objects.labels)
    return np.argsort(forest.feature_importances_)[::-1][:_FEATURES]
