"""Units in a bin: all of them are in it and visible."""

import numpy as np
import pytest

from pipeline.samples.photo import backdrop, paint
from pipeline.samples.scene import MINIMUM_VISIBLE, Cavity, Placed, Scene, arrange
from pipeline.samples.shapes import SHAPES, Sprite


def block(width: int, height: int) -> Sprite:
    return Sprite(np.full((height, width, 3), 200, np.uint8), np.full((height, width), 255, np.uint8))


def seen_share(scene: Scene, number: int, size: tuple[int, int]) -> float:
    """The share of unit `number` that no later unit covers, counted from the sprites alone."""
    width, height = size
    canvas = np.full((height, width), -1)
    for later, unit in enumerate(scene.units):
        canvas[unit.window][unit.sprite.mask > 0] = later
    return float((canvas == number).sum() / (scene.units[number].sprite.mask > 0).sum())


@pytest.mark.parametrize("seed", range(15))
def test_every_unit_keeps_its_share_in_sight_and_lies_inside_the_bin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    empty = backdrop(rng)
    draw = [shape.draw for shape in SHAPES.values()]
    sprites = [(draw[i % len(draw)](70, 90, rng), float(rng.normal(0, 5))) for i in range(7)]
    scene = arrange(sprites, empty.cavity, empty.size, rng)
    assert len(scene.units) == 7
    for number, unit in enumerate(scene.units):
        assert seen_share(scene, number, empty.size) == pytest.approx(scene.visible()[number])
        assert scene.visible()[number] >= MINIMUM_VISIBLE
        height, width = unit.sprite.mask.shape
        assert empty.cavity.left <= unit.x <= empty.cavity.right - width
        assert empty.cavity.top <= unit.y <= empty.cavity.bottom - height


def test_a_unit_that_would_hide_another_is_not_added() -> None:
    scene = Scene(100, 100)
    assert scene.add(Placed(block(20, 20), 40, 40))
    assert not scene.add(Placed(block(40, 40), 30, 30))
    assert len(scene.units) == 1
    assert scene.visible() == [1.0]


def test_what_is_hidden_twice_counts_once() -> None:
    scene = Scene(100, 100)
    assert scene.add(Placed(block(20, 20), 40, 40))
    assert scene.add(Placed(block(8, 20), 40, 40))
    assert scene.visible() == [0.6, 1.0]
    assert scene.add(Placed(block(9, 8), 40, 40))
    assert scene.visible() == [pytest.approx((400 - 160 - 8) / 400), pytest.approx(96 / 160), 1.0]


def test_units_that_are_too_large_are_made_smaller_until_they_fit() -> None:
    cavity = Cavity(left=10, top=10, right=110, bottom=110, back=80)
    scene = arrange([(block(400, 300), 0.0)] * 5, cavity, (120, 120), np.random.default_rng(1))
    assert len(scene.units) == 5
    assert min(scene.visible()) >= MINIMUM_VISIBLE


def test_a_unit_is_painted_where_it_stands() -> None:
    rng = np.random.default_rng(3)
    empty = backdrop(rng)
    scene = Scene(*empty.size)
    scene.add(Placed(block(30, 30), 100, 120))
    painted = paint(scene, empty)
    assert (painted[120:150, 100:130] == 200).all()
    assert (painted[:80] == empty.pixels[:80]).all()
    # Its shadow darkens its surroundings.
    assert painted[125:145, 132:136].mean() < empty.pixels[125:145, 132:136].mean()


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_a_product_looks_the_same_each_time_it_is_drawn(kind: str) -> None:
    first, second, other = (SHAPES[kind].draw(60, 80, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (first.pixels == second.pixels).all()
    assert (first.mask == second.mask).all()
    assert (first.pixels != other.pixels).any()


@pytest.mark.parametrize("kind", sorted(SHAPES))
@pytest.mark.parametrize("size", [(8, 8), (20, 60), (140, 120)])
def test_a_unit_of_any_size_fills_most_of_its_frame(kind: str, size: tuple[int, int]) -> None:
    sprite = SHAPES[kind].draw(*size, np.random.default_rng(2))
    assert 0.5 < (sprite.mask > 0).sum() / (size[0] * size[1]) < 1.7
    assert sprite.pixels[sprite.mask > 0].std() > 5
