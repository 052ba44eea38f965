from __future__ import annotations

import pytest

from ciguard.approvals.codeowners import owners

FILE = """\
# The whole repository
*            @acme/everyone
*.sql        @acme/dba            # every statement
/db/         @acme/dba @bob
docs/*       docs@example.com
apps/        @acme/apps
/logs/**     @acme/logs
**/secret.?  @carol
/db/open/
"""

ROWS = [
    ("/README.md", ("@acme/everyone",)),
    ("/src/query.sql", ("@acme/dba",)),
    ("/db/", ("@acme/dba", "@bob")),
    ("/db/schema.sql", ("@acme/dba", "@bob")),
    ("/other/db/x", ("@acme/everyone",)),
    ("/docs/a.md", ("docs@example.com",)),
    ("/docs/deep/a.md", ("@acme/everyone",)),
    ("/deep/apps/x", ("@acme/apps",)),
    ("/logs/a/b", ("@acme/logs",)),
    ("/a/b/secret.x", ("@carol",)),
    ("/secret.x", ("@carol",)),
    ("/secret.xy", ("@acme/everyone",)),
    ("/db/open/x", ()),
]


@pytest.mark.parametrize(("path", "expected"), ROWS)
def test_the_last_pattern_that_matches_wins(path: str, expected: tuple[str, ...]) -> None:
    assert owners(FILE, path) == expected


def test_no_pattern_no_owner() -> None:
    assert owners("/db/ @bob\n", "/src/") == ()
