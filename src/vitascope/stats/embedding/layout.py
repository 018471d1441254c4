"""Pictures of many features in two dimensions: principal axes alone, or UMAP or PaCMAP of the first of them.

All are fitted to trusted images only, and new ones are put into the picture (which t-SNE cannot). UMAP and PaCMAP come
with the extra ``embedding``; they are imported where they are used, for their first import compiles for a while.

References
----------
Pankova 2022 (seed 004), section 4.2.1 and figures 50 to 57. McInnes, Healy and Melville 2018, "UMAP", arXiv 1802.03426.
Wang, Huang, Rudin and Shaposhnik 2021, "Understanding how dimension reduction tools work", J. Mach. Learn. Res. 22:201
(PaCMAP).
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.drift.kernels import checked_features
from vitascope.stats.embedding.axes import Axes, fit_axes

Method = Literal["pca", "umap", "pacmap"]

METHODS: dict[Method, str] = {"pca": "principal axes", "umap": "UMAP", "pacmap": "PaCMAP"}
"""What users call them."""

COMPONENTS = (10, 50, 200)
"""Principal components that UMAP and PaCMAP are tried on (figures 50 and 51)."""

USUAL_COMPONENTS = 50
LEAST_IMAGES = 20
"""Images that UMAP and PaCMAP need to know neighbours from others."""

NEIGHBOURS = {"umap": 15, "pacmap": 10}
"""As their authors set them."""

SEED = 0


@dataclass(frozen=True, eq=False)
class Layout:
    """A picture that images were fitted to.

    Parameters
    ----------
    method : {"pca", "umap", "pacmap"}
    axes : Axes
        Principal axes that come first.
    places : array, shape (N, 2)
        Of the images it was fitted to.
    """

    method: Method
    axes: Axes
    places: NDArray[np.float64]
    _mapper: Any = None
    _scores: NDArray[np.float32] | None = None

    def place(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return where new images lie in the picture, shape (N, 2), of their features (N, F); none moves the others."""
        scores = self.axes.place(features)
        if self._mapper is None:
            return scores[:, :2]
        few = scores.astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.method == "pacmap":
                found = self._mapper.transform(few, basis=self._scores)
            else:
                # one at a time: new images share random numbers, and a place must not depend on the company
                found = np.concatenate([self._mapper.transform(one[None]) for one in few])
        return np.asarray(found, np.float64)


def fit_layout(
    features: ArrayLike, method: Method = "pca", components: int = USUAL_COMPONENTS, seed: int = SEED
) -> Layout:
    """Fit a picture to trusted images.

    Parameters
    ----------
    features : array, shape (N, F)
    method : {"pca", "umap", "pacmap"}
    components : int, >= 2
        Principal components that UMAP or PaCMAP is fitted to; fewer where images or features allow no more.
    seed : int
        The same seed gives the same picture.

    Raises
    ------
    InputError
        If there are too few images, or all are the same.
    ParameterError
        If there is no such method, or what it needs is not installed.
    """
    if method not in get_args(Method):
        raise ParameterError(f"'{method}' is no way to make a picture of features.", f"Take {', '.join(METHODS)}.")
    if components < 2:
        raise ParameterError(f"{components} components span no plane.", "Take at least 2.")
    table = checked_features(features)
    axes = fit_axes(table, 2 if method == "pca" else components)
    if method == "pca":
        return Layout(method, axes, axes.place(table))
    if len(table) < LEAST_IMAGES:
        raise InputError(
            f"{len(table)} images are too few for {METHODS[method]}.",
            f"Give at least {LEAST_IMAGES}, or take principal axes.",
        )
    scores = axes.place(table).astype(np.float32)
    mapper = _mapper(method, n_neighbors=min(NEIGHBOURS[method], len(table) // 4), random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed makes them slower
        places = mapper.fit_transform(scores) if method == "umap" else mapper.fit_transform(scores, init="pca")
    return Layout(method, axes, np.asarray(places, np.float64), mapper, scores)


def is_installed(method: Method) -> bool:
    """Return whether what a method needs is installed, without importing it."""
    return method == "pca" or importlib.util.find_spec(method) is not None


def _mapper(method: Method, **settings: Any) -> Any:
    """Return the library's own, with its remarks on seeds and on what else could be installed silenced."""
    if not is_installed(method):
        raise ParameterError(
            f"{METHODS[method]} is not installed.",
            "Run: pip install 'vitascope[embedding]'. Principal axes need nothing.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "umap":
            import umap  # of the extra

            return umap.UMAP(n_jobs=1, **settings)
        import pacmap  # of the extra

        logging.getLogger("pacmap").setLevel(logging.ERROR)
        return pacmap.PaCMAP(apply_pca=False, **settings)
