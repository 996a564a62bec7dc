"""Two holders who have published, and a finished run, for every test of the trainer that needs them."""

import pytest
from flwr.supercore.task_identity import TaskIdentity

from tests.trainer import sites


@pytest.fixture(scope="session", autouse=True)
def _task():
    """What an engine tells Flower before it lets anybody write a message."""
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1


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
