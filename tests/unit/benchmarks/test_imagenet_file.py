import pytest

from benchmarks.child import ContenderError
from benchmarks.imagenet_file import weights_file


def test_without_the_environment_its_command_is_named(tmp_path):
    with pytest.raises(ContenderError, match="make setup-pretrained"):
        weights_file(tmp_path / "python")
