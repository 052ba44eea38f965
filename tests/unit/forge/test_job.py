from __future__ import annotations

import dataclasses

import pytest

from ciguard.forge.job import ChangeRequest, Forge, Job


def test_a_job_is_a_value() -> None:
    change = ChangeRequest(number=1, base_ref="main", base_sha="b" * 40, head_sha="c" * 40, from_fork=False)
    facts = (
        "acme/shop",
        "push",
        "a" * 40,
        "refs/heads/main",
        "1",
        "1",
        "alice",
        "https://github.com/x",
        "https://github.com",
    )
    job = Job(Forge.GITHUB, *facts, change)
    assert job == Job(Forge.GITHUB, *facts, change)
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.repository = "acme/other"  # type: ignore[misc]


def test_the_forges_are_spelt_as_events_spell_them() -> None:
    assert [str(forge) for forge in Forge] == ["github", "gitlab"]


@pytest.mark.parametrize(
    ("forge", "page"),
    [
        (Forge.GITHUB, "https://forge.example.com/acme/shop/actions/runs/4711#artifacts"),
        (Forge.GITLAB, "https://forge.example.com/acme/shop/-/jobs/815/artifacts/browse"),
    ],
)
def test_where_a_job_leaves_its_artifacts(forge: Forge, page: str) -> None:
    url = "https://forge.example.com/acme/shop/-/jobs/815"
    job = Job(
        forge, "acme/shop", "push", "a" * 40, "main", "4711", "1", "alice", url, "https://forge.example.com", None
    )
    assert job.artifacts_url == page
