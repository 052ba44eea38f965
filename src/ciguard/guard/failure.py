"""What the guard says when something went wrong in it that nobody thought of."""

from __future__ import annotations

import traceback
from pathlib import Path

from ciguard.errors import GuardFailure


def unexpected(error: BaseException) -> GuardFailure:
    """The failure that ends the session; it names where ``error`` was raised, and not its message, which may quote
    anything.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    return GuardFailure(f"the guard failed on a call ({place})", "report this as a bug of ciguard")
