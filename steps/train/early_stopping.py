"""When a trial stops before its last epoch."""

from __future__ import annotations

from collections.abc import Sequence

from steps.train.collectives import Group


def out_of_patience(accuracies: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` epochs brought no accuracy above the best before them; never with patience 0.

    Decided from the whole history, so a resumed training stops where an uninterrupted one does.
    """
    if not patience or not accuracies:
        return False
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    return len(accuracies) - 1 - best >= patience


def stop_together(group: Group, accuracies: Sequence[float], patience: int) -> bool:
    """The same answer on every rank: one that stopped alone would leave the others waiting for its gradients."""
    return group.any(out_of_patience(accuracies, patience))
