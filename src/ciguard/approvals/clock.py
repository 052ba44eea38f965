"""The time that requests for approval are measured in."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class SteadyClock:
    """The time of day when it was made, and from then on as it passes: setting the machine's clock changes nothing."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> datetime:
        """See Clock."""
        return self._start + timedelta(seconds=time.monotonic() - self._began)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)
