"""Which tests `make quick` runs for a changed file."""

import pytest

from tests.quick import mirrors


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("pipeline/aws/cron.py", ["tests/unit/pipeline/aws/test_cron.py"]),
        ("steps/contracts/metrics.py", ["tests/unit/steps/contracts/test_metrics.py"]),
        ("tests/unit/test_quick.py", ["tests/unit/test_quick.py"]),
        ("tests/integration/test_bootstrap.py", []),
        ("tests/unit/pipeline/conftest.py", []),
        ("docs/settings.md", []),
    ],
)
def test_a_file_has_the_tests_that_mirror_it(changed: str, tests: list[str]) -> None:
    assert list(mirrors(changed)) == tests


def test_a_module_without_a_mirror_has_the_mirrors_its_folder_that_name_it() -> None:
    assert list(mirrors("pipeline/account/deploy_function.py")) != []
