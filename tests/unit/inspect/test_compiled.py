from __future__ import annotations

from pathlib import Path
from typing import Any

import hyperscan
import pytest

from ciguard.inspect import compiled as module
from ciguard.inspect.compiled import compiled, store
from ciguard.inspect.finder import HyperscanFinder

EXPRESSIONS = [b"abc[0-9]+x", b"secret"]
TEXT = b"an abc12x and a secret"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    done: list[None] = []
    original = module._compile

    def counting(expressions: Any) -> hyperscan.Database:
        done.append(None)
        return original(expressions)

    monkeypatch.setattr(module, "_compile", counting)
    return done


def found() -> list[tuple[int, int, int]]:
    return HyperscanFinder(EXPRESSIONS).hints(TEXT)


def test_a_stored_database_is_loaded_and_finds_the_same(compilations: list[None]) -> None:
    expected = found()
    assert expected
    store(EXPRESSIONS)
    compilations.clear()
    assert found() == expected
    assert not compilations


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:40] + b"\0" + data[41:], lambda _: b""])
def test_a_file_that_is_not_whole_is_not_loaded(compilations: list[None], change: Any) -> None:
    expected = found()
    [path] = store(EXPRESSIONS)
    path.write_bytes(change(path.read_bytes()))
    compilations.clear()
    assert found() == expected
    assert len(compilations) == 1


def test_other_rules_have_another_file_and_the_old_one_goes(folder: Path, compilations: list[None]) -> None:
    store(EXPRESSIONS)
    store([*EXPRESSIONS, b"more"])
    assert len(list(folder.iterdir())) == 1
    compilations.clear()
    compiled(EXPRESSIONS)
    assert len(compilations) == 1


def test_installing_stores_the_secret_rules(folder: Path, compilations: list[None]) -> None:
    assert module.main() == 0
    sizes = sorted(path.stat().st_size for path in folder.iterdir())
    assert len(sizes) == 2
    assert sizes[0] > 100_000
