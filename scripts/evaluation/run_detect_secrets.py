"""Runs in detect-secrets' own environment: every plugin and filter that it has by default, on every file of a folder.

Prints JSON: for each file the line, the value and the type of each report.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from detect_secrets.core.scan import scan_file  # type: ignore[import-not-found]  # it is not in our environment
from detect_secrets.settings import default_settings  # type: ignore[import-not-found]  # the same


def main(folder: Path) -> None:
    """Scan ``folder``."""
    reports = {}
    with default_settings():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found = [[one.line_number, one.secret_value, one.type] for one in scan_file(str(path))]
                reports[str(path.relative_to(folder))] = found
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
