"""``blindsight holder``: keys, federation, epochs, devices, publishing."""

from __future__ import annotations

from collections.abc import Sequence

from blindsight.cli import key, log_verbs
from blindsight.cli.arguments import Verbs
from blindsight.holder import (
    device_cli,
    epoch_cli,
    federation_cli,
    import_cli,
    manifest_cli,
    preview_cli,
    publish_cli,
    quality_cli,
    rekey_cli,
    schemes_cli,
)


def main(words: Sequence[str]) -> int:
    """Run one verb of the holder."""
    verbs = Verbs(
        "holder", "keys, federation, epoch, publishing: for those who own images", "blindsight holder key init --name A"
    )
    key.add_verbs(verbs, "holder")
    federation_cli.add_verbs(verbs)
    epoch_cli.add_verbs(verbs)
    publish_cli.add_verbs(verbs)
    manifest_cli.add_verbs(verbs)
    device_cli.add_verbs(verbs)
    rekey_cli.add_verb(verbs)
    import_cli.add_verb(verbs)
    schemes_cli.add_verb(verbs)
    preview_cli.add_verb(verbs)
    quality_cli.add_verb(verbs)
    log_verbs.add_verbs(verbs, "holder")
    return verbs.main(words)
