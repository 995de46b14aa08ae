import pytest
import torch

from steps.train.objective import Objective, class_weights

COUNTS = {0: 10, 1: 40, 2: 50}


def test_balanced_weights_are_scikit_learns():
    import numpy as np
    from sklearn.utils.class_weight import compute_class_weight

    labels = [quantity for quantity, number in COUNTS.items() for _ in range(number)]
    wanted = compute_class_weight("balanced", classes=np.array([0, 1, 2]), y=labels)
    assert class_weights(COUNTS, [0, 1, 2], "balanced") == pytest.approx(list(wanted))


@pytest.mark.parametrize("weighting", ["balanced", "sqrt", "none"])
def test_the_mean_weight_of_a_photo_is_one(weighting):
    weights = class_weights(COUNTS, [0, 1, 2], weighting)
    assert sum(w * COUNTS[c] for c, w in enumerate(weights)) / 100 == pytest.approx(1)


def test_square_root_weights_lie_between_balanced_and_none():
    balanced, root = (class_weights(COUNTS, [0, 1, 2], kind)[0] for kind in ("balanced", "sqrt"))
    assert 1 < root < balanced


def test_the_mean_of_the_ranks_gradients_is_the_gradient_of_the_whole_batch():
    generator = torch.Generator().manual_seed(1)
    targets = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2])
    objective = Objective(class_weights(COUNTS, [0, 1, 2], "balanced"), label_smoothing=0.1)
    logits = torch.randn(8, 3, generator=generator, requires_grad=True)
    (whole,) = torch.autograd.grad(objective(logits, targets), logits)
    ranks = [torch.autograd.grad(objective(logits[part], targets[part]), logits)[0] for part in (slice(4), slice(4, 8))]
    torch.testing.assert_close((ranks[0] + ranks[1]) / 2, whole)


def test_without_weights_and_smoothing_it_is_cross_entropy():
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    wanted = torch.nn.functional.cross_entropy(logits, targets)
    torch.testing.assert_close(Objective([1.0, 1.0, 1.0], 0.0)(logits, targets), wanted)
