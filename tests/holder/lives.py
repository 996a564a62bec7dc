"""Federations that have agreed on an epoch and live on: people join, leave, lose keys, warn, retire, lend.

Use as ``from tests.holder import lives``. Keystores are real and cheap; an act opens its keystore anew.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

from blindsight.cli import main
from blindsight.holder import ceremony, federation, joining, membership
from blindsight.protocol import kem
from blindsight.protocol.clock import to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import canonical, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.logfile import read_log
from tests.holder import rooms
from tests.protocol import worlds
from tests.protocol.worlds import NOW

NAMES = ("anna", "bert", "cleo")
LAB = worlds.identity("lab", "trainer")
DORA = worlds.identity("dora")


def agreed(root: Path, policy: str, *, moment=NOW, names=NAMES, epochs=1) -> Path:
    """A federation of these holders and the trainer ``lab`` that has agreed on so many epochs."""
    box = DropBox(root / "box")
    box.put_card(LAB, worlds.CREATED)
    stores = [worlds.keystore_of(root, name) for name in names]
    cards = [*(store.key.entry for store in stores), LAB.entry]
    options = {"name": "ward", "cards": cards, "policy": policy, "nonce": os.urandom(32), "created": to_text(moment)}
    genesis = federation.create(stores[0], box, **options)
    for store in stores[1:]:
        federation.sign(store, box, None)
    for store in stores:
        write_passphrase(store.path.parent / "passphrase")
        log = federation.follow(store, box, genesis.mid)
        federation.verify(store, log, log.code)
    life = Life(root)
    for _ in range(epochs):
        life.agree(moment=moment)
    return root


def write_passphrase(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(worlds.PASSPHRASE)


class Life(rooms.Room):
    """A room whose sites do what members do between ceremonies."""

    def log(self):
        """What anybody who can read the folder sees, warnings included."""
        return read_log(self.root / "box")

    def act(self, name, function, *arguments, **options):
        """Open a site's keystore, follow the log, and do something: what it returns."""
        with self.store(name) as store:
            return function(store, self.boxes[name], self.follow(store, name), *arguments, **options)

    def agree(self, *, moment=NOW):
        """One more epoch."""
        until = {"deadline": moment + timedelta(days=7), "not_after": moment + timedelta(days=365)}
        self.act(self.names[0], ceremony.propose, schemes=worlds.SCHEMES, moment=moment, **until)
        for _ in range(4):
            for name in self.names:
                self.act(name, ceremony.step, moment)
        assert {self.act(name, ceremony.step, moment).phase for name in self.names} == {"active"}

    def comes(self, name, role="holder"):
        """A site with a keystore that knows no federation yet."""
        store = worlds.keystore_of(self.root, name, role)
        write_passphrase(store.path.parent / "passphrase")
        self.keys[name], self.boxes[name] = store.key, self.box
        return store.key

    def asks(self, name, *, moment=NOW, days=14):
        """A newcomer meets the federation by its code and asks; a member asks again."""
        with self.store(name) as store:
            log = joining.meet(store, self.box, self.log().code)
            return joining.ask(store, self.box, log, moment=moment, expires=moment + timedelta(days=days))

    def admitted(self, name, *, moment=NOW, by="anna"):
        """A newcomer asks, one proposes, and everybody signs: the roster record."""
        key = self.keys[name] if name in self.keys else self.comes(name)
        self.asks(name, moment=moment)
        record = self.act(by, membership.admit, key.entry.code, moment)
        for other in (*(one for one in self.names if one != by), name):
            if self.is_open(record):
                self.act(other, membership.approve, record.mid)
        self.names = (*self.names, name)
        return record

    def removed(self, name, *, by="anna"):
        """One proposes to remove a member, and all others sign."""
        record = self.act(by, membership.remove, self.keys[name].entry)
        self.names = tuple(one for one in self.names if one != name)
        for other in self.names:
            if other != by and self.is_open(record):
                self.act(other, membership.approve, record.mid)
        assert not self.is_open(record)
        return record

    def retired(self, *epochs, by="anna"):
        """One proposes to end epochs, and all others sign."""
        record = self.act(by, membership.retire, epochs, "spent")
        for other in self.names:
            if other != by and self.is_open(record):
                self.act(other, membership.approve, record.mid)
        assert not self.is_open(record)
        return record

    def is_open(self, record):
        return record.mid not in {one.mid for one in self.log().records}

    def secret(self, name, number=1):
        """A member's epoch secret."""
        return self.act(name, lambda store, box, log: federation.epoch_secret(store, log, number)[1])

    def loses(self, name):
        """A member's keystore forgets every epoch secret."""
        with self.store(name) as store:
            store.data["feds"][self.fed]["secrets"] = {}
            store.save()

    def puts(self, folder, *envelopes):
        """Documents that somebody writes into one of the federation's folders."""
        for envelope in envelopes:
            self.box.put_signed(envelope, self.fed, folder, "ab" * 32)


def request_of(life, name):
    """The request of that name that counts."""
    (found,) = [one for one in membership.requests(life.box, life.log(), NOW) if one.entry.name == name]
    return found


def forged_grant(life, sponsor, join, secrets, **changes) -> Envelope:
    """A grant by a dishonest sponsor: whatever it says, sealed and signed as it should be."""
    log = life.log()
    plain = canonical({str(number): to_b64(secret) for number, secret in secrets.items()})
    body = {"v": 1, "type": "grant", "fed": log.fed, "roster": log.roster.id, "join": join.envelope.mid}
    body |= {"from": sponsor.entry.fpr, "to": join.entry.fpr, "len": len(plain)} | changes
    context = tagged_hash("grant", *(bytes.fromhex(body[name]) for name in ("fed", "roster", "join", "from", "to")))
    return Envelope.of("grant", body | {"box": to_b64(kem.seal(join.kem, plain, context))}).signed(sponsor)


class Desk(Life):
    """A life whose sites type commands."""

    def __init__(self, root, capsys):
        super().__init__(root)
        self._capsys = capsys

    def run(self, *words):
        """Exit status, stdout and stderr of a command."""
        self._capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def type(self, name, verb, *words, box=True):
        """A holder's verb at one site."""
        site = self.root / name
        keys = ("--keystore", site / "keystore.json", "--passphrase-file", site / "passphrase")
        return self.run("holder", *verb.split(), *words, *keys, *(("--dropbox", self.root / "box") if box else ()))

    def json(self, name, verb, *words, box=True):
        """A verb that must succeed or wait: its JSON objects, one a line."""
        status, out, err = self.type(name, verb, *words, "--json", box=box)
        assert status in (0, 75), err
        return [json.loads(line) for line in out.splitlines()]

    def refused(self, name, verb, *words, box=True):
        """A verb that must be refused: code and sentence; the table and the JSON say the same."""
        status, out, err = self.type(name, verb, *words, "--json", box=box)
        assert status == 1, (out, err)
        error = json.loads(out)["error"]
        assert f"error: {error['message']} [{error['code']}]" in err
        return error["code"], error["message"] + " / " + error["hint"]


def copied(root: Path, to: Path) -> Path:
    """A copy of an agreed federation for one test."""
    shutil.copytree(root, to)
    return to
