from __future__ import annotations

from dataclasses import fields, replace

import pytest
from msgspec import structs

from ciguard.approvals.request import DIGEST_LENGTH, Run, request_digest
from tests.unit.approvals.scene import RUN, operation


def test_the_digest_has_more_than_64_bits() -> None:
    digest = request_digest(operation(), RUN, "3f9a2c.1")
    assert len(digest) == DIGEST_LENGTH
    assert int(digest, 16).bit_length() <= DIGEST_LENGTH * 4
    assert DIGEST_LENGTH * 4 >= 64


@pytest.mark.parametrize("name", [field.name for field in fields(Run)])
def test_it_depends_on_everything_that_the_run_is(name: str) -> None:
    other = replace(RUN, **{name: "another"})
    assert request_digest(operation(), RUN, "3f9a2c.1") != request_digest(operation(), other, "3f9a2c.1")


def test_it_depends_on_the_operation_and_the_request() -> None:
    digests = {
        request_digest(operation(), RUN, "3f9a2c.1"),
        request_digest(operation(), RUN, "3f9a2c.2"),
        request_digest(operation("ls"), RUN, "3f9a2c.1"),
        request_digest(structs.replace(operation(), connection="gpt"), RUN, "3f9a2c.1"),
    }
    assert len(digests) == 4
