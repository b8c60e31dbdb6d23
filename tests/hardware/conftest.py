"""The fake NVML for every test of this room."""

from collections.abc import Iterator
from pathlib import Path

import fake_nvml
import pytest
from sensor_cases import Kernel


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library."""
    return fake_nvml.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(nvml_library: Path, tmp_path: Path) -> Iterator[fake_nvml.Machine]:
    """A machine whose GPUs a test decides."""
    with fake_nvml.installed(nvml_library, tmp_path / "scenario.txt") as fake:
        yield fake


@pytest.fixture
def linux(tmp_path: Path) -> Kernel:
    """A /sys and a /proc of one's own."""
    return Kernel(tmp_path)
