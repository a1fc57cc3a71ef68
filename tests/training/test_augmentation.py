"""Augmentation beside Keras's own ImageDataGenerator."""

import warnings

import numpy as np
import pytest
from keras import ops

from kerasgrid.config.augment import LATER, Augment, Augmentation
from kerasgrid.training import backend
from kerasgrid.training.augmentation import (
    N_DRAWS,
    affine_matrix,
    augment,
    cropped,
    draw,
    later,
    normalize,
    parameters,
)

legacy = pytest.importorskip("keras.src.legacy.preprocessing.image")
pytestmark = pytest.mark.slow

NEUTRAL = {"theta": 0.0, "tx": 0.0, "ty": 0.0, "shear": 0.0, "zx": 1.0, "zy": 1.0}
GEOMETRIES = [
    {"theta": 25.0},
    {"theta": -90.0},
    {"tx": 2.0},
    {"ty": -1.5},
    {"shear": 20.0},
    {"zx": 0.7},
    {"zy": 1.4},
    {"theta": 10.0, "tx": 1.25, "ty": -2.5, "shear": -7.0, "zx": 1.2, "zy": 0.8},
    {"theta": -160.0, "tx": -3.0, "ty": 0.5, "shear": 30.0, "zx": 0.9, "zy": 1.1},
]
FILL_MODES = ["constant", "nearest", "reflect", "wrap"]


def stored(*shape):
    return np.zeros((2, *shape), "uint8")


def smooth(height, width, channels=2):
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 3 + c) + np.cos(columns / 4 - c) for c in range(channels)]
    return np.stack(waves, axis=-1).astype("float32")


def transformed(image, geometry, fill_mode, cval=0.5):
    given = [np.asarray([value], "float32") for value in ({**NEUTRAL, **geometry}).values()]
    matrix = affine_matrix(*[ops.convert_to_tensor(value) for value in given], image.shape[:2])
    return np.asarray(backend.affine(ops.convert_to_tensor(image[None]), matrix, fill_mode, cval))[0]


def sources(geometry, height, width):
    """Returns where each pixel comes from, by Keras's own transform of the coordinates."""
    grids = np.stack(np.mgrid[:height, :width], axis=-1).astype("float64") + 1000
    own = {"row_axis": 0, "col_axis": 1, "channel_axis": 2, "fill_mode": "constant", "cval": -1.0}
    return legacy.apply_affine_transform(grids, **{**NEUTRAL, **geometry}, **own) - 1000


@pytest.mark.backend
@pytest.mark.parametrize("size", [(12, 20)])
@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_geometry_is_that_of_keras(geometry, fill_mode, size):
    image = smooth(*size)
    own = {"row_axis": 0, "col_axis": 1, "channel_axis": 2, "fill_mode": fill_mode, "cval": 0.5}
    wanted = legacy.apply_affine_transform(image, **{**NEUTRAL, **geometry}, **own)
    found = transformed(image, geometry, fill_mode)
    rows, columns = np.moveaxis(sources(geometry, *size), -1, 0)
    inside = (rows > 0.01) & (rows < size[0] - 1.01) & (columns > 0.01) & (columns < size[1] - 1.01)
    assert inside.sum() >= 20
    np.testing.assert_allclose(found[inside], wanted[inside], atol=1e-4)
    if fill_mode in {"nearest", "reflect"}:  # the others differ within a pixel of the border
        np.testing.assert_allclose(found, wanted, atol=2e-3)


@pytest.mark.backend
@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_no_strength_is_exactly_no_augmentation(fill_mode):
    given = Augment(
        rotation_range=0,
        width_shift_range=0,
        height_shift_range=0.0,
        shear_range=0,
        zoom_range=0,
        horizontal_flip=False,
        channel_shift_range=0,
        brightness_range=[1, 1],
        blur_sigma=0,
        fill_mode=fill_mode,
        crop_scale=1,
        contrast_range=0,
        saturation_range=[1, 1],
        hue_range=0,
        cutout_size=0,
    )
    made = Augmentation.of(given, stored(13, 12, 3), 255)
    earlier = {"affine", "flips", "channels", "brightness", "blur"}
    assert made.operations == earlier | {"crop", "contrast", "saturation", "hue", "cutout"}
    images = np.random.default_rng(0).random((9, 13, 12, 3)).astype("float32")
    key = ops.convert_to_tensor(np.array([1, 2], "int32"))
    uniform = draw(9, key, ops.convert_to_tensor(np.int32(0)), made)
    found = augment(made, ops.convert_to_tensor(images), ops.convert_to_tensor(made.numbers), uniform)
    np.testing.assert_array_equal(np.asarray(found), images)


def test_what_is_not_named_is_no_operation():
    assert Augmentation.of(Augment(), stored(8, 8, 1)).structure == []
    assert Augmentation.of(Augment(fill_mode="wrap"), stored(8, 8, 1)).structure == []
    assert Augmentation.of(None, stored(8, 8, 1)).structure == []
    assert Augmentation.of(Augment(rotation_range=0), stored(8, 8, 1)).operations == {"affine"}


def test_strengths_are_numbers_and_modes_are_structure():
    def of(**given):
        return Augmentation.of(Augment(**given), stored(8, 8, 1))

    first = of(rotation_range=0, zoom_range=0.5)
    assert first.structure == of(rotation_range=20.5, zoom_range=[0.5, 3]).structure
    assert first.structure == of(width_shift_range=0.25, height_shift_range=2).structure
    assert first.numbers != of(rotation_range=20.5, zoom_range=[0.5, 3]).numbers
    assert first.structure != of(rotation_range=0, fill_mode="wrap").structure
    assert first.structure != of(rotation_range=0, horizontal_flip=True).structure
    assert of(width_shift_range=[1, 2]).structure != of(width_shift_range=[1, 3]).structure


SETTINGS = [
    {"rotation_range": 20.0},
    {"width_shift_range": 0.25, "height_shift_range": 3.5},
    {"width_shift_range": 4, "height_shift_range": 1},
    {"width_shift_range": [1, 2, 5], "height_shift_range": [0.125, 0.5]},
    {"shear_range": 0.5, "zoom_range": 0.4},
    {"zoom_range": [0.5, 0.75]},
    {"horizontal_flip": True, "vertical_flip": True},
    {"channel_shift_range": 30.0, "brightness_range": [0.5, 1.5]},
]
N = 4000


@pytest.mark.backend
@pytest.mark.parametrize("given", SETTINGS, ids=str)
def test_drawn_parameters_have_the_distributions_of_image_data_generator(given):
    scipy_stats = pytest.importorskip("scipy.stats")
    shape = (10, 16, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = legacy.ImageDataGenerator(**given)
        np.random.seed(0)
        own = [generator.get_random_transform(shape) for _ in range(N)]
    made = Augmentation.of(Augment(**given), stored(*shape))
    key = ops.convert_to_tensor(np.array([3, -5], "int32"))
    uniform = draw(N, key, ops.convert_to_tensor(np.int32(7)))
    drawn = parameters(made, ops.convert_to_tensor(np.asarray(made.numbers, "float32")), uniform)
    for name, values in drawn.items():
        if name == "sigma" or own[0][name] is None:
            continue
        wanted = np.array([drawn_by_keras[name] for drawn_by_keras in own], dtype=float)
        found = np.asarray(values, dtype=float)
        if len(np.unique(wanted)) < 20:
            assert set(np.unique(found)) == set(np.unique(wanted)), name
        assert scipy_stats.ks_2samp(found, wanted).pvalue > 1e-3, name
        if name not in {"zx", "zy"}:
            assert abs(found.mean() - wanted.mean()) <= 6 * (wanted.std() + 1e-12) / np.sqrt(N / 2), name
    if "zoom_range" in given:
        assert abs(np.corrcoef(np.asarray(drawn["zx"]), np.asarray(drawn["zy"]))[0, 1]) < 0.1


def test_channel_shift_flips_and_brightness_are_those_of_keras():
    given = {"channel_shift_range": 20.0, "horizontal_flip": True, "vertical_flip": True}
    made = Augmentation.of(Augment(**given, brightness_range=[0.5, 1.5]), stored(6, 8, 3))
    images = np.random.default_rng(0).integers(0, 256, (64, 6, 8, 3)).astype("float32")
    uniform = draw(64, ops.convert_to_tensor(np.array([1, 2], "int32")), ops.convert_to_tensor(np.int32(0)))
    numbers = ops.convert_to_tensor(np.asarray(made.numbers, "float32"))
    found = np.asarray(augment(made, ops.convert_to_tensor(images), numbers, uniform))
    drawn = {name: np.asarray(values) for name, values in parameters(made, numbers, uniform).items()}
    for place, image in enumerate(images):
        wanted = legacy.apply_channel_shift(image, drawn["channel_shift_intensity"][place], 2)
        for name, axis in (("flip_horizontal", 1), ("flip_vertical", 0)):
            wanted = np.flip(wanted, axis) if drawn[name][place] else wanted
        wanted = np.clip(wanted * drawn["brightness"][place], 0, 255)  # Pillow rounds to whole numbers here
        np.testing.assert_allclose(found[place], wanted, atol=1e-3)
    assert 0 < drawn["flip_horizontal"].sum() < 64


# What torchvision and papers have


def augmented(images, **given):
    """Returns images augmented, and what is drawn of later operations for them."""
    made = Augmentation.of(Augment(**given), images)
    key, step = ops.convert_to_tensor(np.array([4, 9], "int32")), ops.convert_to_tensor(np.int32(1))
    uniform = draw(len(images), key, step, made)
    numbers = ops.convert_to_tensor(np.asarray(made.numbers, "float32"))
    found = augment(made, ops.convert_to_tensor(images.astype("float32")), numbers, uniform)
    return np.asarray(found), later(made, numbers, uniform) if made.operations & LATER else None


def coloured(n=40, height=9, width=11):
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3)).astype("uint8")


def part_of(height, width, scale, ratio, numbers):
    """`RandomResizedCrop.get_params` of torchvision 0.20, without its rounding to whole pixels."""
    for _ in range(10):
        area = height * width * numbers.uniform(*scale)
        aspect = np.exp(numbers.uniform(*np.log(ratio)))
        w, h = np.sqrt(area * aspect), np.sqrt(area / aspect)
        if w <= width and h <= height:
            return numbers.uniform(0, width - w), numbers.uniform(0, height - h), w / width, h / height
    w = min(width, height * ratio[1])
    h = min(height, width / ratio[0])
    return (width - w) / 2, (height - h) / 2, w / width, h / height


@pytest.mark.parametrize(
    "given", [{"crop_scale": 0.08}, {"crop_scale": [0.8, 1], "crop_ratio": [0.5, 0.6]}], ids=str
)
@pytest.mark.parametrize("size", [(10, 16), (12, 12)], ids=str)
def test_crops_have_the_distribution_of_torchvisions(given, size):
    scipy_stats = pytest.importorskip("scipy.stats")
    scale, numbers = given["crop_scale"], np.random.default_rng(0)
    wanted = np.array(
        [
            part_of(
                *size,
                scale if isinstance(scale, list) else (scale, 1),
                given.get("crop_ratio", (3 / 4, 4 / 3)),
                numbers,
            )
            for _ in range(N)
        ]
    )
    _, (n, u) = augmented(np.zeros((N, *size, 1), "uint8"), **given)
    for place, found in enumerate(cropped(n, u, size)):
        found = np.asarray(found, float).round(4)  # of no fitting try all are the same
        assert scipy_stats.ks_2samp(found, wanted[:, place].round(4)).pvalue > 1e-3, place


def test_a_crop_shows_a_part_stretched_as_pillow_does():
    from PIL import Image

    images = np.stack([smooth(12, 20, 1) for _ in range(30)])
    found, (n, u) = augmented(images, crop_scale=[0.2, 0.6])
    parts = np.stack([np.asarray(part) for part in cropped(n, u, (12, 20))], axis=1)
    for image, one, (left, top, across, down) in zip(images, found, parts, strict=True):
        box = (left, top, left + across * 20, top + down * 12)
        wanted = Image.fromarray(image[..., 0]).resize((20, 12), Image.Resampling.BILINEAR, box)
        np.testing.assert_allclose(one[1:-1, 1:-1, 0], np.asarray(wanted)[1:-1, 1:-1], atol=0.03)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.7])
def test_contrast_and_saturation_are_those_of_pillow(factor):
    """As torchvision's are, but for Pillow's rounding to bytes."""
    from PIL import Image, ImageEnhance

    images = coloured(8)
    for key, enhance in (("contrast_range", ImageEnhance.Contrast), ("saturation_range", ImageEnhance.Color)):
        found, _ = augmented(images, **{key: [factor, factor]})
        wanted = [np.asarray(enhance(Image.fromarray(image)).enhance(factor)) for image in images]
        np.testing.assert_allclose(found, np.stack(wanted), atol=2)


@pytest.mark.parametrize("turn", [-0.4, 0.1, 0.5])
def test_hues_are_turned_as_by_colorsys(turn):
    import colorsys

    images = coloured(3)
    images[0, 0, 0], images[0, 0, 1], images[0, 0, 2] = 7, (200, 200, 3), 0
    found, _ = augmented(images, hue_range=[turn, turn])
    for pixel, one in zip(images.reshape(-1, 3) / 255, found.reshape(-1, 3) / 255, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        np.testing.assert_allclose(one, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-5)


def test_a_square_is_cut_out_around_a_pixel():
    images = np.ones((200, 9, 11, 2), "float32") * [1, 3]
    found, (_, u) = augmented(images, cutout_size=4, cutout_probability=0.5, cutout_value=-5)
    is_cut = np.asarray(u["cutout"]) < 0.5
    assert 60 < is_cut.sum() < 140
    for image, one, cuts, y, x in zip(images, found, is_cut, u["cutout_y"], u["cutout_x"], strict=True):
        top, left, wanted = int(y * 9) - 2, int(x * 11) - 2, image.copy()
        if cuts:
            wanted[max(top, 0) : top + 4, max(left, 0) : left + 4] = -5
        np.testing.assert_array_equal(one, wanted)
    cut, _ = augmented(coloured(20), cutout_size=0.5)
    assert (cut != coloured(20)).any(axis=(1, 2, 3)).all()
    means = coloured(20).mean(axis=(1, 2))
    np.testing.assert_allclose(
        cut[cut != coloured(20)],
        np.broadcast_to(means[:, None, None], cut.shape)[cut != coloured(20)],
        rtol=1e-4,
    )


def test_a_flip_has_its_probability_and_true_is_every_other():
    images = coloured(400)

    def flipped(**given):
        found, _ = augmented(images, **given)
        return (found != images).any(axis=(1, 2, 3))

    assert 0.2 < flipped(horizontal_flip=0.3).mean() < 0.4
    np.testing.assert_array_equal(flipped(horizontal_flip=0.5), flipped(horizontal_flip=True))
    assert flipped(vertical_flip=1.0).all()
    assert not flipped(vertical_flip=0.0).any()


def test_later_operations_leave_the_draws_of_the_others_as_they_are():
    images = coloured()
    given = {"rotation_range": 30, "horizontal_flip": True, "blur_sigma": [0, 2]}
    made = Augmentation.of(Augment(**given), images)
    key, step = ops.convert_to_tensor(np.array([4, 9], "int32")), ops.convert_to_tensor(np.int32(1))
    numbers = ops.convert_to_tensor(np.asarray(made.numbers, "float32"))
    alone = augment(made, ops.convert_to_tensor(images.astype("float32")), numbers, draw(40, key, step))
    beside, _ = augmented(images, **given, contrast_range=0, mixup_alpha=1)
    np.testing.assert_array_equal(beside, alone)


# Some of 256 even steps, which Keras's way through Pillow's bytes rounds nothing of; the factors of the test
# leave them whole.
STEPS = np.arange(0, 256, 5).reshape(4, 13, 1)
RANGES = {
    "0..4095": (0.0, 4095.0),
    "10..4090": (10.0, 4090.0),
    "-100..155": (-100.0, 155.0),
    "-1..1": (-1.0, 1.0),
}


def brightened(images, factor, scale=None):
    made = Augmentation.of(Augment(brightness_range=[factor, factor]), images, scale)
    images = (images / np.float32(scale or 1)).astype("float32")
    uniform = np.random.default_rng(1).random((len(images), N_DRAWS)).astype("float32")
    numbers = ops.convert_to_tensor(np.asarray(made.numbers, "float32"))
    found = augment(made, ops.convert_to_tensor(images), numbers, ops.convert_to_tensor(uniform))
    return np.asarray(found), images


@pytest.mark.parametrize("factor", [0.2, 0.6, 1.0, 1.4, 3.0])
@pytest.mark.parametrize("name", RANGES)
def test_brightness_of_wide_images_is_that_of_keras(name, factor):
    low, high = RANGES[name]
    # A hundredth of a step more, so that Pillow's rounding down to bytes finds the step; the ends are exact.
    steps = np.where(STEPS % 255, STEPS + 0.01, STEPS)
    image = (low + steps * (high - low) / 255).astype("float32")
    found, _ = brightened(image[None], factor)
    wanted = legacy.apply_brightness_shift(image, factor, False)
    span = high - low
    np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=span * (1e-4 + 0.01 / 255 * factor))


@pytest.mark.parametrize("scale", [None, 255, 3.7])
@pytest.mark.parametrize(("low", "high"), [*RANGES.values(), (0, 255), (0, 1), (300, 300)], ids=str)
def test_a_brightness_of_1_is_exactly_no_change(low, high, scale):
    images = np.random.default_rng(0).uniform(low, high, (7, 6, 5, 3)).astype("float32")
    images[0, 0, 0], images[1, 1, 1] = low, high
    found, before = brightened(images, 1.0, scale)
    np.testing.assert_array_equal(found, before)


@pytest.mark.parametrize("scale", [None, 255, 3.7, 16])
def test_a_brightness_of_bytes_begins_at_0_whatever_they_are_divided_by(scale):
    images = np.random.default_rng(0).integers(60, 256, (7, 6, 5, 3)).astype("uint8")
    images[:, 0, 0] = 255
    found, before = brightened(images, 0.5, scale)
    np.testing.assert_allclose(found, before / 2, rtol=1e-6)
    found, before = brightened(images, 2.0, scale)
    np.testing.assert_allclose(found, np.minimum(before * 2, 255 / (scale or 1)), rtol=1e-6)


@pytest.mark.parametrize("center", [False, True])
def test_deviations_are_divided_by_after_means_are_subtracted_as_in_keras(center):
    images = np.random.default_rng(0).uniform(20, 200, (9, 6, 5, 3)).astype("float32")
    own = {"samplewise_std_normalization": True, "samplewise_center": center, "rescale": 0.5}
    of_all = {"featurewise_std_normalization": True, "featurewise_center": center}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samplewise, featurewise = legacy.ImageDataGenerator(**own), legacy.ImageDataGenerator(**of_all)
    wanted = np.stack([samplewise.standardize(image.copy()) for image in images])
    found = np.asarray(normalize(Augmentation.of(Augment(**own), images), ops.convert_to_tensor(images)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    featurewise.fit(images)
    mean, std = Augment(**of_all).center_and_spread(images.mean((0, 1, 2)), images.std((0, 1, 2)))
    np.testing.assert_allclose((images - mean) / std, featurewise.standardize(images.copy()), atol=1e-5)


def test_blur_is_a_gaussian_of_its_size():
    made = Augmentation.of(Augment(blur_sigma=[0.5, 4], blur_kernel_size=[5, 9]), stored(28, 28, 1))
    images = np.zeros((40, 28, 28, 1), "float32")
    images[:, 14, 14] = 1
    uniform = np.random.default_rng(0).random((40, N_DRAWS)).astype("float32")
    numbers = ops.convert_to_tensor(np.asarray(made.numbers, "float32"))
    found = np.asarray(augment(made, ops.convert_to_tensor(images), numbers, ops.convert_to_tensor(uniform)))
    for place, image in enumerate(found[..., 0]):
        sigma = 0.5 + 3.5 * uniform[place, 12]
        kernels = [np.exp(-0.5 * (np.arange(-r, r + 1) / sigma) ** 2) for r in (4, 2)]
        wanted = np.zeros((28, 28))
        wanted[10:19, 12:17] = np.outer(*[kernel / kernel.sum() for kernel in kernels])
        np.testing.assert_allclose(image, wanted, atol=1e-5)


@pytest.mark.backend
def test_draws_depend_on_key_step_and_place_alone():
    key, other = (ops.convert_to_tensor(np.array(words, "int32")) for words in ([1, 2], [1, 3]))
    step = ops.convert_to_tensor(np.int32(5))
    first = np.asarray(draw(6, key, step))
    np.testing.assert_array_equal(np.asarray(draw(4, key, step)), first[:4])
    assert (np.asarray(draw(6, other, step)) != first).mean() > 0.9
    assert (np.asarray(draw(6, key, step + 1)) != first).mean() > 0.9
    assert len(np.unique(first)) > 70
