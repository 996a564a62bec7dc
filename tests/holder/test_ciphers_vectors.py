"""Every scheme reproduces its vectors bit for bit; the vectors are what the slow second implementation writes."""

import json

import numpy as np
import pytest

from blindsight.holder.ciphers import CIPHERS, cipher_for
from blindsight.protocol.scheme import SCHEMES, Descriptor, check_value
from tests.vectors import schemes

FILES = {path.name: json.loads(path.read_bytes()) for path in sorted(schemes.FOLDER.glob("*.json"))}
CASES = [case for file in FILES.values() for case in file["cases"]]


def name(case):
    described = case["descriptor"]
    return " ".join([described["id"], "x".join(map(str, described["shape"])), str(described["params"])])


def plain_of(case):
    return schemes.images(len(case["ids"]), tuple(case["descriptor"]["shape"]))


def test_every_scheme_has_a_cipher_and_vectors():
    assert set(CIPHERS) == set(SCHEMES)
    assert set(FILES) == {f"{scheme}.json" for scheme, _ in SCHEMES}


def test_the_files_are_what_the_second_implementation_writes(tmp_path):
    assert schemes.write(tmp_path) == len(FILES)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (schemes.FOLDER / path.name).read_bytes(), path.name


def test_a_file_that_is_made_no_longer_is_removed(tmp_path):
    (tmp_path / "rot13.json").write_text("{}")
    schemes.write(tmp_path)
    assert not (tmp_path / "rot13.json").exists()


def test_each_file_is_a_few_kilobytes():
    assert all(path.stat().st_size < 9_000 for path in schemes.FOLDER.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_cipher_gives_the_vectors_bytes(case, workers):
    descriptor, key = Descriptor.from_json(case["descriptor"]), bytes.fromhex(case["scheme_key"])
    encrypted = cipher_for(descriptor, key, workers).encrypt(plain_of(case), case["ids"])
    assert list(encrypted.shape[1:]) == case["encrypted_shape"] == list(descriptor.encrypted_shape)
    result = schemes.result(encrypted.tobytes())
    assert result == {what: case[what] for what in result}


@pytest.mark.parametrize("case", [case for case in CASES if SCHEMES[case["descriptor"]["id"], 1].invertible], ids=name)
def test_decryption_gives_the_images_of_the_vectors(case):
    cipher = cipher_for(Descriptor.from_json(case["descriptor"]), bytes.fromhex(case["scheme_key"]))
    images = plain_of(case)
    assert np.array_equal(cipher.decrypt(cipher.encrypt(images, case["ids"]), case["ids"]), images)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_digest_and_check_value_are_the_vectors(case):
    descriptor, key = Descriptor.from_json(case["descriptor"]), bytes.fromhex(case["scheme_key"])
    assert descriptor.digest == case["scheme_digest"]
    assert check_value(descriptor, key, cipher_for(descriptor, key).encrypt) == case["scv"]
