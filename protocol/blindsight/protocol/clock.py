"""Times as they stand in documents: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from blindsight.protocol.encoding import TIME_FORMAT

TOLERANCE = timedelta(minutes=10)


def now() -> datetime:
    """The present moment; the one place where the clock is read."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write a moment as ``YYYY-MM-DDThh:mm:ssZ``."""
    return moment.astimezone(UTC).strftime(TIME_FORMAT)


def is_past(text: str, moment: datetime) -> bool:
    """Whether a stated time has gone by, ten minutes of clock difference forgiven."""
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC) < moment - TOLERANCE
