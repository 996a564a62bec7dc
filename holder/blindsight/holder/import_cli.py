"""``blindsight holder import-model``: a plainly trained network becomes a bundle for encrypted images.

A model that is not in the files of a bundle yet is converted by ``blindsight trainer convert`` in a process of its own:
torch is no part of a holder's program, and that process gets nothing that opens a keystore.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from blindsight.cli import passphrase
from blindsight.cli.arguments import Verbs, add_keystore, add_log, at_least
from blindsight.cli.output import emit_facts, say
from blindsight.cli.override import add_override
from blindsight.holder import federation, override, scheme_options
from blindsight.holder.import_model import CONVERTED, Plain, demand_absorbable, descriptor_of, finer, imported
from blindsight.protocol import bundle
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, MissingExtraError, PolicyError
from blindsight.protocol.files import read_bounded
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.scheme import Traits

EXAMPLE: Final = "blindsight holder import-model plain --scheme le --epoch 1 --name pets --out pets-1 --log box"
WORDS: Final = (
    "make a plainly trained network answer encrypted images as it answers plain ones, without training; you sign it. "
    "Whoever has the plain weights and the result finds the key: give the plain weights to nobody who must not see the "
    "images. Of a published model everybody has them"
)
PASSED: Final = {
    "classes": ("NAMES", "class names, or a file with one a line"),
    "heads": ("N", "heads of a vision transformer's attention"),
    "mean": ("R,G,B", "what it expects to be subtracted from pixels from 0 to 1"),
    "std": ("R,G,B", "what it expects the difference to be divided by"),
    "eps": ("X", "of its normalisations"),
    "size": ("HxW", "of its images, if they are not square"),
}
SECRETS: Final = ("BLINDSIGHT_", "CREDENTIALS_DIRECTORY")
SOURCE: Final = "a model in the files of a bundle, without a statement"


def add_verb(verbs: Verbs) -> None:
    """Add ``import-model``."""
    parser = verbs.add("import-model", _import, WORDS, EXAMPLE)
    words = "a network of this software or a vision transformer (see: blindsight trainer convert), converted or not"
    parser.add_argument("model", type=Path, metavar="MODEL", help=words)
    scheme_options.add_scheme(parser)
    parser.add_argument("--epoch", type=at_least(1), required=True, metavar="N", help="whose key it is to know")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle; must not exist")
    for name, (metavar, meaning) in PASSED.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=f"{meaning}; passed on to trainer convert")
    add_log(parser)
    add_keystore(parser)
    add_override(parser)


def _import(options: argparse.Namespace) -> int:
    _demand_absent(options.out)
    with passphrase.opened(options) as store:
        log = federation.united(store, options.log, options.federation)
        federation.demand_verified(store, log)
        log.roster.member(store.key.entry.fpr)
        to, secret = federation.epoch_secret(store, log, options.epoch)
        reason = override.demand_usable(options, log, options.epoch)
        plain = _plain(options, store, demand_absorbable(options.scheme, to))
        descriptor = descriptor_of(plain, options.scheme, scheme_options.given(options))
        model = {"id": os.urandom(16).hex(), "name": options.name, "version": "1"}
        predicate, files = imported(plain, descriptor, log, to, secret, store.key, model, to_text(now()))
        override.note(store, "holder import-model", options.epoch, reason)
        statement = bundle.make(options.out, store.key, predicate, files)
        by = store.key.entry.label
    if descriptor.traits.scope != "none":
        say(
            f"whoever has this bundle and the plain model finds the key of scheme {descriptor.id} of epoch "
            f"{to.number}; of a published model that is everybody who gets the bundle"
        )
    facts: dict[str, Any] = {"bundle": str(options.out), "model": model if options.json else f"{options.name} 1"}
    facts |= {"source": plain.source, "scheme": descriptor.to_json() if options.json else descriptor.id}
    facts |= {"epoch": to.number, "signed by": by, "statement": statement.mid}
    emit_facts(facts, as_json=options.json)
    return 0


def _demand_absent(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise PolicyError(
            f"something stands at {folder} already; a bundle is never overwritten",
            code="E_EXISTS",
            hint="name another folder, or move that one away",
        )


def _plain(options: argparse.Namespace, store: Keystore, traits: Traits) -> Plain:
    """The model in the files of a bundle, with a first layer that sees the scheme's units: as it is, or converted."""
    found = _own_unit(options.model)
    unit = finer(found or traits.unit, traits.unit)
    passed = {name: text for name in PASSED if (text := getattr(options, name)) is not None}
    is_converted = all((options.model / name).is_file() for name in CONVERTED)
    if is_converted and found == unit and not passed and not (options.model / bundle.STATEMENT).exists():
        return _read(options.model, SOURCE)
    with _private_folder(store) as folder:
        say(f"{options.model} is converted in a process of its own")
        source = _converted(options.model, folder / "plain", {"unit": unit, **passed})
        return _read(folder / "plain", source)


def _own_unit(model: Path) -> str:
    """What the first layer of a network of this software sees; empty for another model."""
    if not (model / bundle.WEIGHTS).is_file() or not (model / bundle.CONFIG).is_file():
        return ""
    unit = bundle.read_config(_bytes(model / bundle.CONFIG, bundle.MAX_TEXT_BYTES))["params"].get("unit")
    return unit if unit in ("byte", "nibble", "bit") else ""


def _read(folder: Path, source: str) -> Plain:
    return Plain({name: _bytes(folder / name, bundle.MAX_FILE_BYTES) for name in CONVERTED}, source)


def _bytes(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = read_bounded(file, most)
    if len(data) > most:
        raise FormatError(f"{path.name} has more than the {most} bytes accepted")
    return data


@contextlib.contextmanager
def _private_folder(store: Keystore) -> Iterator[Path]:
    """A folder for the plain model that is gone when the block ends; what a killed run left there goes first.

    It lies beside the keystore, not beside the target: a drop-box may be a folder that others see.
    """
    folder = store.path.with_name(f".{store.path.name}.plain")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _converted(model: Path, out: Path, passed: Mapping[str, str]) -> str:
    """Run ``trainer convert``: what the model was made from, in a few words.

    Raises:
        MissingExtraError: torch is not installed.
        DataError: what the process refuses, with its code; or it fails.
    """
    command = [sys.executable, "-P", "-m", "blindsight.cli", "trainer", "convert", str(model.absolute())]
    command += ["--out", str(out.absolute()), "--json", *(f"--{name}={text}" for name, text in passed.items())]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise _refusal(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())
    sys.stderr.write(done.stderr)
    return str(json.loads(done.stdout)["source"])


def _environment() -> dict[str, str]:
    """For converting no keystore is opened, so the process gets no passphrase."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
    return {**kept, "PYTHONSAFEPATH": "1"}


def _refusal(status: int, data: Sequence[str], talk: Sequence[str]) -> BlindsightError:
    """What the process refused, as a refusal of this one."""
    try:
        error: dict[str, Any] = json.loads(data[-1])["error"]
    except (IndexError, KeyError, TypeError, ValueError):
        return DataError(f"the model was not converted (status {status}): {talk[-1][:400] if talk else 'nothing said'}")
    kind = MissingExtraError if error["code"] == MissingExtraError.default_code else DataError
    return kind(error["message"], code=error["code"], hint=error["hint"])
