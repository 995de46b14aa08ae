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
    objective = Objective(class_weights(COUNTS, [0, 1, 2], "balanced"), [0, 1, 2], label_smoothing=0.1)
    logits = torch.randn(8, 3, generator=generator, requires_grad=True)
    (whole,) = torch.autograd.grad(objective(logits, targets), logits)
    ranks = [torch.autograd.grad(objective(logits[part], targets[part]), logits)[0] for part in (slice(4), slice(4, 8))]
    torch.testing.assert_close((ranks[0] + ranks[1]) / 2, whole)


def test_without_weights_and_smoothing_it_is_cross_entropy():
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    wanted = torch.nn.functional.cross_entropy(logits, targets)
    torch.testing.assert_close(Objective([1.0, 1.0, 1.0], [0, 1, 2], 0.0)(logits, targets), wanted)


def test_the_distance_of_counts_is_scipys_earth_movers_distance_in_its_squared_form():
    classes, targets = [0, 1, 3], torch.tensor([2])
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    # All of 0.5 moves over the gap of one object, 0.8 over that of two.
    distance = 0.5**2 * 1 + 0.8**2 * 2
    plain, with_distance = (Objective([1.0, 1.0, 1.0], classes, 0.0, weight)(logits, targets) for weight in (0.0, 0.7))
    assert float(with_distance - plain) == pytest.approx(0.7 * distance)


def test_a_count_further_off_costs_more_only_with_the_distance():
    targets = torch.tensor([0])
    near, far = torch.log(torch.tensor([[0.2, 0.7, 0.1]])), torch.log(torch.tensor([[0.2, 0.1, 0.7]]))
    plain, ordinal = Objective([1.0] * 3, [0, 1, 2], 0.0), Objective([1.0] * 3, [0, 1, 2], 0.0, 1.0)
    assert float(plain(near, targets)) == pytest.approx(float(plain(far, targets)))
    assert float(ordinal(near, targets)) < float(ordinal(far, targets))
