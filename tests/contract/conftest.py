from collections.abc import Iterator

import pytest

from in_process import Platform, platform


@pytest.fixture(scope="session")
def in_process_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The embedded platform in this process, for tests of its HTTP contract."""
    with platform(tmp_path_factory.mktemp("platform")) as running:
        yield running
