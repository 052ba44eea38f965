"""What a session says that it ran on is what is locked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("lock", "digest"), [("run.txt", "lock.sha256"), ("names.txt", "lock-names.sha256")])
def test_the_digest_of_the_lock_is_up_to_date(lock: str, digest: str) -> None:
    content = (ROOT / "requirements" / lock).read_bytes()
    assert (ROOT / "src" / "ciguard" / digest).read_text() == f"{hashlib.sha256(content).hexdigest()}\n"


def test_what_names_need_comes_on_top_of_the_same_packages() -> None:
    run, names = (
        set(re.findall(r"^[a-z][^ ]*==[^ ]+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))
        for lock in ("run.txt", "names.txt")
    )
    assert run < names
    assert {one.split("==")[0] for one in names - run} >= {"presidio-analyzer", "spacy"}
