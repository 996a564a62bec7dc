"""A drop-box with the membership log and a signed bundle, for every test of the operator."""

import pytest

from blindsight.protocol import bundle
from blindsight.protocol.dropbox import DropBox
from tests.operator import bundles
from tests.protocol import worlds


@pytest.fixture(scope="session")
def world():
    return worlds.world()


@pytest.fixture(scope="session")
def box(world, tmp_path_factory):
    found = DropBox(tmp_path_factory.mktemp("box"))
    for seq, record in enumerate(world.log.records):
        found.put_record(record, world.log.fed, seq, world.keys[0].entry.fpr)
    return found.transport.root


@pytest.fixture(scope="session")
def folder(world, tmp_path_factory):
    return bundles.write(tmp_path_factory.mktemp("models") / "pets", world)


@pytest.fixture(scope="session")
def loaded(world, folder):
    return bundle.load(folder, world.log, worlds.NOW)
