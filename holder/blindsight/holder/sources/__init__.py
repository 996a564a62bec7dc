"""Where a holder's images come from; ``open_source`` finds the kind and nothing is held in memory but labels."""

from __future__ import annotations

from blindsight.holder.sources.kinds import KINDS, open_source
from blindsight.holder.sources.source import SPLITS, Reader, Source, Split

__all__ = ["KINDS", "SPLITS", "Reader", "Source", "Split", "open_source"]
