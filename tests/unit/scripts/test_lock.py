from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_sessions_name_the_lock_that_is_there() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_bytes()
    assert (ROOT / "src" / "ciguard" / "lock.sha256").read_text() == f"{hashlib.sha256(lock).hexdigest()}\n"
