"""The compiled databases of all secret rules, made when ciguard is installed, so that no start pays for compiling.

    python -m ciguard.inspect.compiled

writes them beside the rules: who could change them there could change the code. The name of each is the digest of what
it was made of (expressions, engine, platform), and it begins with the digest of what follows: a file that is not whole,
or of other rules, is not loaded. Without them the rules are compiled at every start, which takes a tenth of a second
longer and finds the same.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hyperscan

FOLDER = Path(__file__).with_name("rules")

_DIGEST_BYTES = 32


def compiled(expressions: Sequence[bytes]) -> hyperscan.Database:
    """A database that finds ``expressions``, numbered as they stand there: loaded if it is there, else compiled.

    Raises ``ImportError`` where there is no Hyperscan.
    """
    import hyperscan

    try:
        content = _path(expressions).read_bytes()
    except FileNotFoundError:
        return _compile(expressions)
    digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        return _compile(expressions)
    database = hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database


def store(*sets: Sequence[bytes]) -> list[Path]:
    """Compile each of ``sets`` of expressions and write the databases where :func:`compiled` looks for them.

    All others go. Raises ``OSError``.
    """
    import hyperscan

    for old in FOLDER.glob("compiled-*.bin"):
        old.unlink()
    paths = [_path(expressions) for expressions in sets]
    for path, expressions in zip(paths, sets, strict=True):
        data = hyperscan.dumpb(_compile(expressions))
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(hashlib.sha256(data).digest() + data)
        unfinished.replace(path)
    return paths


def _compile(expressions: Sequence[bytes]) -> hyperscan.Database:
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(expressions),
        ids=list(range(len(expressions))),
        elements=len(expressions),
        flags=[hyperscan.HS_FLAG_DOTALL] * len(expressions),
    )
    return database


def _path(expressions: Sequence[bytes]) -> Path:
    import hyperscan

    engine = hyperscan.__version__  # type: ignore[attr-defined]  # the package's stubs leave it out
    made_of = hashlib.sha256(f"{engine} {platform.machine()} {len(expressions)}".encode())
    for expression in expressions:
        made_of.update(b"%d " % len(expression) + expression)
    return FOLDER / f"compiled-{made_of.hexdigest()[:32]}.bin"


def main() -> int:
    """Write the databases of the secret rules: of where they may match, and of their words."""
    from ciguard.inspect.rule_matcher import secret_rules

    rules = secret_rules()
    store(rules.expressions, rules.words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
