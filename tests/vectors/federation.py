"""The federation that signs the vectors: two holders, a trainer, one epoch whose secret is 00 01 … 1f."""

from __future__ import annotations

from blindsight.protocol import agreement
from blindsight.protocol.log import Log
from tests.protocol import worlds

KEYS = worlds.holders(2)
FIRST, SECOND = KEYS
LAB = worlds.identity("lab", "trainer")
OPERATOR = worlds.identity("clinic", "operator")
STRANGER = worlds.identity("stranger")
GENESIS = worlds.genesis(KEYS, [LAB.entry])
LOG = Log.build([GENESIS])
SECRET = bytes(range(32))
KCV = agreement.key_check_value(SECRET, LOG.fed, 1)
# Sealing draws randomness, so nobody can agree on the same record twice: this one is signed by all, and invented.
RECORD = worlds.record(LOG, KEYS, seq=1, epoch=1, kcv=KCV)
AGREED = Log.build([GENESIS, RECORD])
