"""What standard output is: a terminal that shows colour, or something else."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ciguard.report.paint import Painter


def painter() -> Painter:
    """What makes lines for standard output: in colour on a terminal, unless ``NO_COLOR`` is set."""
    from ciguard.report.paint import coloured, plain

    return coloured if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else plain
