import torch

from steps.train.loop import augment


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


def test_the_same_seed_draws_the_same():
    photos = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    torch.manual_seed(5)
    first = augment(photos)
    torch.manual_seed(5)
    assert torch.equal(first, augment(photos))
