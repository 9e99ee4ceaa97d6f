"""What of a stored estimator may become an object: a fixed list, and trees whose branches lead somewhere.

skops runs no code of a file. It trusts scikit-learn's public estimators and numpy's arrays by itself;
the inner types below are ours to trust. scikit-learn follows the branches of a tree without looking
where they lead, so that we look: to a later node of the same tree, by a column that is there.
"""

from collections.abc import Iterator
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np

TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Types beyond those that skops trusts; nothing else is ever built."""

_DEEPEST = 12


class Untrusted(ValueError):
    """A file holds what may not become an object. The message says what."""


def load_estimator(data: bytes) -> Any:
    """Return the estimator that `data` holds.

    Raises Untrusted, and whatever skops makes of bytes that are none of its own.
    """
    from skops.io import get_untrusted_types, loads  # noqa: PLC0415  it looks through all of scikit-learn

    strange = sorted(set(get_untrusted_types(data=data)) - set(TRUSTED))
    if strange:
        message = f"it holds {', '.join(strange[:3])}, which no model of Prevenant is made of"
        raise Untrusted(message)
    estimator = loads(data, trusted=list(TRUSTED))
    for part, columns in _parts(estimator, 0):
        _check_tree(part, columns)
    return estimator


def _parts(value: Any, columns: int, depth: int = 0) -> Iterator[tuple[Any, int]]:
    """Yield every tree within an estimator, and how many columns its rows have."""
    if depth > _DEEPEST:
        return
    if type(value).__name__ in {"Tree", "TreePredictor"}:
        yield value, columns
    elif isinstance(value, dict):
        for one in value.values():
            yield from _parts(one, columns, depth + 1)
    elif isinstance(value, list | tuple | set) or (
        isinstance(value, np.ndarray) and value.dtype == object
    ):
        for one in value.flat if isinstance(value, np.ndarray) else value:
            yield from _parts(one, columns, depth + 1)
    elif type(value).__module__.startswith("sklearn."):
        own = getattr(value, "n_features_in_", columns)
        for one in vars(value).values() if hasattr(value, "__dict__") else ():
            yield from _parts(one, own, depth + 1)


def _check_tree(tree: Any, columns: int) -> None:
    """Raise Untrusted where a branch of `tree` leads out of it, or back."""
    if type(tree).__name__ == "Tree":
        own = min(int(tree.n_features), columns)
        left, right, asked = tree.children_left, tree.children_right, tree.feature
        inner = left != -1
    else:
        nodes = tree.nodes
        own = columns
        left, right, asked = (
            nodes[name].astype(np.int64) for name in ("left", "right", "feature_idx")
        )
        inner = nodes["is_leaf"] == 0
    count = len(left)
    here = np.arange(count)[inner]
    good = (
        _knows_categories(tree)
        and np.all((left[inner] > here) & (left[inner] < count))
        and np.all((right[inner] > here) & (right[inner] < count))
        and np.all((asked[inner] >= 0) & (asked[inner] < own))
    )
    if not (count and good):
        message = "it holds a tree whose branches lead nowhere"
        raise Untrusted(message)


def _knows_categories(tree: Any) -> bool:
    """Return whether each branch by category has its set of categories."""
    if type(tree).__name__ == "Tree":
        return True
    sets = tree.nodes["bitset_idx"][tree.nodes["is_categorical"] != 0]
    return bool(
        np.all(sets < min(len(tree.raw_left_cat_bitsets), len(tree.binned_left_cat_bitsets)))
    )


def dump_estimator(estimator: Any) -> bytes:
    """Return the bytes of an estimator that `load_estimator` takes. Raises Untrusted for any other."""
    from skops.io import dumps  # noqa: PLC0415  as above

    data = bytes(dumps(estimator, compression=ZIP_DEFLATED))
    load_estimator(data)
    return data
