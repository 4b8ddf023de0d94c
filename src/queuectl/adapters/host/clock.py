"""The clocks of this machine."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def microseconds(moment: datetime) -> int:
    """The moment as it is stored: microseconds since 1970 in UTC."""
    return (moment - EPOCH) // MICROSECOND


def now() -> datetime:
    """Read this machine's clock."""
    return datetime.now(UTC)


def elapsed() -> timedelta:
    """Time since the machine's boot, suspension included where the system knows it; never steps."""
    return timedelta(0, 0, time.clock_gettime_ns(SINCE_BOOT) // 1000)  # by position, not by a float: it is called often
