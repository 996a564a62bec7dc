"""Times as they stand in documents: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

TOLERANCE = timedelta(minutes=10)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def now() -> datetime:
    """The present moment; the one place where the clock is read."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write a moment as ``YYYY-MM-DDThh:mm:ssZ``."""
    return moment.astimezone(UTC).strftime(_FORMAT)


def is_past(text: str, moment: datetime) -> bool:
    """Whether a stated time has gone by, ten minutes of clock difference forgiven."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC) < moment - TOLERANCE
