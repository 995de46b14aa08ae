"""Classes and their weights."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa


def balance(quantities: Mapping[int, int], maximum: int) -> pa.Table:
    """Photos by quantity, and for the classes, 0 to `maximum`, the share of all labels and the balanced weight.

    The weight is N / (k * n), as scikit-learn's `class_weight="balanced"`; training computes its own from its split.
    """
    labels = {quantity: photos for quantity, photos in quantities.items() if quantity <= maximum}
    total, classes = sum(labels.values()), len(labels)
    shares = [labels[quantity] / total if quantity in labels else None for quantity in quantities]
    weights = [total / (classes * labels[quantity]) if quantity in labels else None for quantity in quantities]
    return pa.table(
        {
            "quantity": pa.array(quantities, pa.int64()),
            "photos": pa.array(quantities.values(), pa.int64()),
            "labelled": pa.array([quantity in labels for quantity in quantities], pa.bool_()),
            "share": pa.array(shares, pa.float64()),
            "balanced_weight": pa.array(weights, pa.float64()),
        }
    )
