import pytest
import torch

from steps.train import augmentation
from steps.train.augmentation import augment, moved


def test_photos_are_mirrored_or_not_and_keep_their_shape():
    torch.manual_seed(1)
    photos = torch.zeros(64, 3, 8, 8, dtype=torch.uint8)
    photos[:, :, :, :4] = 200
    result = augment(photos)
    left_brighter = result[..., :4].mean((1, 2, 3)) > result[..., 4:].mean((1, 2, 3))
    assert result.shape == photos.shape
    assert 10 < int(left_brighter.sum()) < 54


def test_light_changes_photo_by_photo_and_stays_within_what_a_photo_holds():
    torch.manual_seed(1)
    result = augment(torch.full((32, 3, 4, 4), 240, dtype=torch.uint8))
    means = result.mean((1, 2, 3))
    assert len(set(means.tolist())) > 10
    assert float(result.min()) > 190
    assert float(result.max()) <= 255


@pytest.mark.parametrize("random_affine", [False, True])
def test_the_same_seed_draws_the_same(random_affine):
    """Kind: a generator of its own, which a resumed training would not go on with."""
    photos = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    torch.manual_seed(5)
    first = augment(photos, random_affine=random_affine)
    torch.manual_seed(5)
    assert torch.equal(first, augment(photos, random_affine=random_affine))


def test_photos_are_rotated_to_both_sides():
    torch.manual_seed(1)
    photos = torch.zeros(200, 1, 61, 61)
    photos[:, :, 30, :] = 1
    result = moved(photos)
    rows = torch.arange(61.0)
    left, right = (
        (result[:, 0, :, column] * rows[:, None]).sum(dim=(1, 2)) / result[:, 0, :, column].sum(dim=(1, 2))
        for column in (slice(8, 12), slice(49, 53))
    )
    rise = torch.atan((right - left) / 41).rad2deg()
    assert -8.5 < rise.min() < -5
    assert 5 < rise.max() < 8.5


def test_a_moved_photo_is_all_there():
    """Kind: rotated or moved so far that objects leave the picture."""
    torch.manual_seed(1)
    photos = torch.zeros(400, 1, 60, 60)
    photos[:, :, 12:48, 12:48] = 1
    result = moved(photos)
    areas = result.sum(dim=(1, 2, 3)) / photos.sum(dim=(1, 2, 3))
    assert 0.6 < areas.min() < 0.75
    assert 0.9 < areas.max() < 1.03
    # An object is not repeated at the border.
    border = torch.ones(60, 60, dtype=torch.bool)
    border[3:-3, 3:-3] = False
    assert (result[..., border].amax(dim=(1, 2)) > 0.5).float().mean() < 0.05


def test_without_a_rotation_all_sides_of_a_photo_stay_in_the_picture(monkeypatch):
    """Kind: moved by more than it was shrunk."""
    monkeypatch.setattr(augmentation, "DEGREES", 0.0)
    torch.manual_seed(1)
    photos = torch.ones(400, 1, 60, 60)
    photos[:, :, 2:-2, 2:-2] = 0
    result = moved(photos)[:, 0]
    middle = slice(28, 32)
    for side in (result[:, :15, middle], result[:, -15:, middle], result[:, middle, :15], result[:, middle, -15:]):
        assert float(side.amax(dim=(1, 2)).min()) > 0.9


def test_photos_are_moved_each_by_itself_in_all_directions(monkeypatch):
    """Kinds: never moved, moved to a single side, a draw for the whole batch or for both directions."""
    monkeypatch.setattr(augmentation, "DEGREES", 0.0)
    torch.manual_seed(1)
    photos = torch.zeros(400, 1, 60, 60)
    photos[:, :, 20:40, 20:40] = 1
    result = moved(photos)[:, 0]
    places = torch.arange(60.0) - 29.5
    weights = result.sum(dim=(1, 2))
    right, down = (result.sum(dim=1) @ places / weights, result.sum(dim=2) @ places / weights)
    for offsets in (right, down):
        # Shrunk to 80% at least, a photo has 12 pixels of room, 6 to each side; its middle stays the middle on average.
        assert -6.1 < offsets.min() < -4
        assert 4 < offsets.max() < 6.1
        assert abs(float(offsets.mean())) < 0.4
    assert abs(float(torch.corrcoef(torch.stack([right, down]))[0, 1])) < 0.2
    # The less it is shrunk, the less it is moved.
    side = weights.sqrt() / 20
    assert bool((torch.maximum(right.abs(), down.abs()) <= 30 * (1 - side) + 0.2).all())


def test_a_photo_that_is_neither_rotated_nor_shrunk_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(augmentation, "DEGREES", 0.0)
    monkeypatch.setattr(augmentation, "SMALLEST", 1.0)
    photos = torch.rand(4, 3, 17, 17)
    assert torch.allclose(moved(photos), photos, atol=1e-5)


def test_photos_are_moved_only_where_asked():
    photos = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(5)
    still = augment(photos)
    torch.manual_seed(5)
    result = augment(photos, random_affine=True)
    assert result.shape == still.shape
    assert result.dtype == torch.float32
    assert 0 <= result.min() < result.max() <= 255
    assert not torch.allclose(result, still, atol=5)
    # Of the same light and mirroring: only places differ.
    assert torch.allclose(result.mean((1, 2, 3)), still.mean((1, 2, 3)), atol=15)
