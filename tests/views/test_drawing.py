"""The PNG of augmented samples."""

import numpy as np
import pytest
from PIL import Image

from kerasgrid.driver.preview import write_augmented
from kerasgrid.errors import ConfigError

YAML = """\
name: seen
data: {train: digits, scale: 16}
model: fc
augment: {rotation_range: 20}
space: {augment: [off, on, {blur_sigma: 1}], augment.fill_mode: [constant]}
"""


@pytest.mark.slow
def test_each_setting_has_a_block_of_samples_and_draws(tmp_path):
    (tmp_path / "grid.yaml").write_text(YAML)
    path = write_augmented(tmp_path / "grid.yaml")
    assert path == tmp_path / "seen-augment.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image)
    # 2 settings, each a line of text over 6 rows of 8 pixels and 2 between, 6 times as large
    assert pixels.shape[0] == 2 * (6 * 10 * 6 + 14 + 8)
    assert pixels.shape[1] >= 10 * 10 * 6
    first = [pixels[16 + 60 * row : 16 + 60 * row + 48, 4:52] for row in range(6)]
    assert len({cell.tobytes() for cell in first}) == 6  # a class each
    turned = pixels[16 : 16 + 48, 64:112]
    assert (turned != first[0]).any()


def test_without_augmentation_it_is_refused(tmp_path):
    (tmp_path / "grid.yaml").write_text("name: none\ndata: {train: digits}\nmodel: fc\n")
    with pytest.raises(ConfigError, match="there is no augmentation to look at"):
        write_augmented(tmp_path / "grid.yaml")
