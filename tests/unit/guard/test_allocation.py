from __future__ import annotations

import mmap
import subprocess
import sys

from ciguard.guard.allocation import LARGE

PAGE = mmap.PAGESIZE
GROWING = """
import resource, sys
from ciguard.guard.allocation import LARGE, keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in range(LARGE // 8, LARGE // 4, LARGE // 64):
    b"x" * size
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(how: str) -> int:
    """Pages that the kernel hands out for bodies that grow."""
    return int(subprocess.run([sys.executable, "-c", GROWING, how], check=True, capture_output=True, text=True).stdout)


def test_a_growing_body_takes_the_memory_of_the_one_before() -> None:
    largest = LARGE // 4 // PAGE
    assert pages("kept") < 1.5 * largest
    assert pages("given back") > 3 * largest
