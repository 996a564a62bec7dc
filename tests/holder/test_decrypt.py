"""A holder sees its own published images again, and nobody else's."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from blindsight.holder import ceremony, federation
from blindsight.holder.decrypt import decrypt
from blindsight.holder.publish import publish
from blindsight.protocol import keystore, manifest
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import MembershipError, SchemeError, SignatureError
from tests.holder import plans
from tests.protocol import worlds
from tests.protocol.worlds import NOW

COUNT = 24
SCHEMES = tuple({"id": name, "v": 1} for name in ("le", "patch-mix", "restricted", "vortex"))


class Site:
    """Two members of one federation with an agreed epoch; the first has published."""

    def __init__(self, root):
        self.root, self.box = root, DropBox(root / "box")
        stores = [worlds.keystore_of(root, name) for name in ("anna", "bert")]
        options = {"name": "ward", "policy": "all", "nonce": os.urandom(32), "created": worlds.CREATED}
        federation.create(stores[0], self.box, cards=[store.key.entry for store in stores], **options)
        federation.sign(stores[1], self.box, None)
        (self.fed,) = stores[0].data["feds"]
        for turn in range(6):
            for store in stores:
                log = federation.follow(store, self.box, self.fed)
                if turn == 0 and store is stores[0]:
                    times = {"moment": NOW, "deadline": NOW.replace(year=2050), "not_after": NOW.replace(year=2098)}
                    ceremony.propose(store, self.box, log, schemes=SCHEMES, **times)
                ceremony.step(store, self.box, log, NOW)

    def opened(self, name):
        return keystore.opened(self.root / name / "keystore.json", worlds.PASSPHRASE)

    def publish(self, file, out, scheme="le"):
        with self.opened("anna") as store:
            log = federation.follow(store, self.box, self.fed)
            epoch, secret = federation.epoch_secret(store, log, None)
            plan = plans.plan_of(worlds.World([store.key], log, secret), file, scheme=(scheme, {}))
            assert epoch.number == 1
            publish(plan, store.key, out, worlds.CREATED, lambda rows: None)
        return out

    def decrypt(self, name, folder, out, limit=None, workers=1):
        with self.opened(name) as store:
            log = federation.follow(store, self.box, self.fed)
            options = {"limit": limit, "advance": lambda images: None, "workers": workers}
            return decrypt(store, log, folder, out, **options)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def published(site):
    return site.publish(plans.save(site.root / "pets.npz", COUNT), site.root / "pets-train")


def pictures(folder):
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def test_decrypting_gives_every_pixel_back(site, published, tmp_path):
    assert site.decrypt("anna", published, tmp_path / "plain") == COUNT
    found = sorted(picture.tobytes() for picture in pictures(tmp_path / "plain").values())
    assert found == sorted(image.tobytes() for image in plans.images(COUNT))


def test_pictures_are_named_by_row_and_label(site, published, tmp_path):
    site.decrypt("anna", published, tmp_path / "plain")
    for row, (name, picture) in enumerate(pictures(tmp_path / "plain").items()):
        assert name == f"{row:07}-label{plans.labels_of(picture[None])[0]}.png"


def test_plain_pictures_are_for_their_owner_alone(site, published, tmp_path):
    site.decrypt("anna", published, tmp_path / "plain", limit=1)
    (picture,) = (tmp_path / "plain").iterdir()
    assert (picture.stat().st_mode & 0o777, picture.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (10, 10), (11, 11), (999, COUNT)])
def test_a_limit_counts_over_all_shards(site, published, tmp_path, limit, count):
    assert site.decrypt("anna", published, tmp_path / "plain", limit) == count
    assert len(pictures(tmp_path / "plain")) == count


def test_a_limit_below_zero_is_none_at_all(site, published, tmp_path):
    assert site.decrypt("anna", published, tmp_path / "plain", -1) == 0


def test_grey_images_stay_grey_and_unlabelled_ones_carry_no_label(site, tmp_path):
    file = plans.save(tmp_path / "grey.npz", 3, labelled=False, shape=(8, 8, 1))
    site.decrypt("anna", site.publish(file, tmp_path / "out"), tmp_path / "plain")
    assert {(name, picture.shape) for name, picture in pictures(tmp_path / "plain").items()} == {
        (f"{row:07}.png", (8, 8)) for row in range(3)
    }


def test_another_holders_data_set_is_refused_before_anything_is_written(site, published, tmp_path):
    with pytest.raises(MembershipError, match="belongs to anna") as caught:
        site.decrypt("bert", published, tmp_path / "plain")
    assert caught.value.code == "E_ROSTER"
    assert not (tmp_path / "plain").exists()


def test_a_changed_shard_is_refused_before_anything_is_written(site, tmp_path):
    folder = site.publish(plans.save(tmp_path / "pets.npz", COUNT), tmp_path / "out")
    shard = folder / manifest.load(folder, site.box.log(site.fed)).predicate["shards"][1]["path"]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(SignatureError, match="00001"):
        site.decrypt("anna", folder, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize(("scheme", "workers"), [("le", 3), ("restricted", 1), ("restricted", 2)])
def test_schemes_with_a_key_for_each_image_are_decrypted_too_with_any_number_of_threads(
    site, tmp_path, scheme, workers
):
    folder = site.publish(plans.save(tmp_path / "pets.npz", COUNT), tmp_path / "out", scheme)
    site.decrypt("anna", folder, tmp_path / "plain", workers=workers)
    found = sorted(picture.tobytes() for picture in pictures(tmp_path / "plain").values())
    assert found == sorted(image.tobytes() for image in plans.images(COUNT))


@pytest.mark.parametrize("scheme", ["patch-mix", "vortex"])
def test_a_scheme_that_loses_detail_is_refused_before_anything_is_written(site, tmp_path, scheme):
    folder = site.publish(plans.save(tmp_path / "pets.npz", COUNT), tmp_path / "out", scheme)
    with pytest.raises(SchemeError, match=f"{scheme} loses detail"):
        site.decrypt("anna", folder, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
