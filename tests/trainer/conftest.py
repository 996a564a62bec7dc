"""Two holders who have published, and a finished run, for every test of the trainer that needs them."""

import pytest

from tests.trainer import sites


@pytest.fixture(scope="session")
def world():
    return sites.federation(2)


@pytest.fixture(scope="session")
def box(world, tmp_path_factory):
    return sites.write_log(world, tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="session")
def folders(world, tmp_path_factory):
    return sites.offered(world, tmp_path_factory.mktemp("holders"))


@pytest.fixture(scope="session")
def finished(box, folders, tmp_path_factory):
    """The folder of a run of two rounds."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    sites.trained(box, folders, out)
    return out
