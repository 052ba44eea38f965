"""The project's own pipeline on GitLab, its releases, and the examples to start from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ciguard import __version__
from ciguard.cli import main
from ciguard.policy.loading import load_policy
from ciguard.policy.trust import source_for
from tests.unit.gitlab.definitions import ROOT, included_jobs, load, published_schema

EXAMPLES = sorted((ROOT / "gitlab/examples").iterdir())
GUIDE = (ROOT / "docs/gitlab.md").read_text(encoding="utf-8")


def pipeline(path: str) -> dict[str, Any]:
    (document,) = load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


OWN = pipeline(".gitlab-ci.yml")
RELEASE = pipeline("gitlab/release.yml")
JOBS = {name: job for name, job in (OWN | RELEASE).items() if isinstance(job, dict) and "script" in job}


@pytest.mark.parametrize("path", [".gitlab-ci.yml", "gitlab/release.yml"])
def test_it_is_what_the_schema_says(path: str) -> None:
    published_schema().validate(pipeline(path))


def test_what_it_includes_is_there() -> None:
    assert [ROOT / one["local"] for one in OWN["include"] if "local" in one] == [ROOT / "gitlab/release.yml"]
    components = {one["component"].split("@")[0].rpartition("/")[2] for one in OWN["include"] if "component" in one}
    assert components == {path.stem for path in (ROOT / "templates").iterdir()}
    # GitLab checks both components, and runs neither.
    assert [job["rules"] for name, job in included_jobs(OWN).items() if name[0] != "."] == [[{"when": "never"}]]


def test_every_image_has_an_exact_version_and_every_job_a_stage() -> None:
    images = [one for job in JOBS.values() for one in (job["image"], *(one["name"] for one in job.get("services", ())))]
    assert [image for image in images if not re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", image)] == []
    assert {job["stage"] for job in JOBS.values()} == set(OWN["stages"])


def test_only_a_semantic_version_is_released_and_only_after_the_tests() -> None:
    assert {name for name, job in JOBS.items() if job.get("extends") == ".release"} == {
        "version",
        "build image",
        "release",
    }
    (rule,) = RELEASE[".release"]["rules"]
    form = re.fullmatch(r"\$CI_COMMIT_TAG =~ /(.*)/", rule["if"])
    assert form
    assert re.search(form[1], __version__)
    assert [tag for tag in ("v1.2.3", "1.2", "1.2.3-rc.1", "x1.2.3", "1.2.3\n4") if re.search(form[1], tag)] == []
    assert [
        OWN["stages"].index(JOBS[name]["stage"]) for name in ("check and test", "version", "build image", "release")
    ] == [*(0, 0, 1, 2)]
    assert [name for name, job in JOBS.items() if "needs" in job or "when" in job or "allow_failure" in job] == []


@pytest.mark.parametrize(("tag", "status"), [(__version__, 0), ("9.9.9", 1), (__version__ + "0", 1), (".....", 1)])
def test_the_tag_must_be_the_version(tag: str, status: int) -> None:
    (script,) = RELEASE["version"]["script"]
    done = subprocess.run(["sh", "-ec", script], cwd=ROOT, env={"CI_COMMIT_TAG": tag, "PATH": "/usr/bin:/bin"})
    assert done.returncode == status


def test_the_digest_of_the_image_is_read_from_what_the_build_says(tmp_path: Path) -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    (tmp_path / "image.json").write_text(
        f'{{\n  "buildx.build.ref": "x",\n  "containerimage.config.digest": "sha256:{"f" * 64}",\n'
        f'  "containerimage.digest": "{digest}",\n  "image.name": "x"\n}}\n'
    )
    commands = RELEASE["build image"]["script"]
    script = "\n".join([next(one for one in commands if one.startswith("digest=")), 'echo "$digest"'])
    assert subprocess.check_output(["sh", "-ec", script], cwd=tmp_path, text=True) == f"{digest}\n"


def test_the_registrys_password_is_in_no_argument() -> None:
    commands = [command for job in JOBS.values() for command in (*job.get("before_script", ()), *job["script"])]
    (login,) = [command for command in commands if "PASSWORD" in command]
    assert login.startswith('echo "$CI_REGISTRY_PASSWORD" | docker login ')
    assert "--password-stdin" in login


def test_what_is_signed_is_the_digest_and_nobody_runs_a_release_text_as_a_command() -> None:
    (sign,) = [command for command in RELEASE["build image"]["script"] if "cosign" in command]
    assert '"$CI_REGISTRY_IMAGE@$digest"' in sign
    # GitLab hands the release's fields to a shell.
    assert not set("`\\;()") & set(str(RELEASE["release"]["release"]))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_what_the_schema_says_and_its_policy_holds(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = pipeline(str(example.relative_to(ROOT) / ".gitlab-ci.yml"))
    published_schema().validate(shown)
    made = included_jobs(shown)
    for name, job in made.items():
        kept = shown.get(name, {}).get("artifacts", {}).get("paths", job["artifacts"]["paths"])
        assert set(job["artifacts"]["paths"]) <= set(kept)
    policy = load_policy(source_for(None, example, None), ".ciguard.yml")
    assert all({"project_path", "job_project_path"} <= allowed.keys() for allowed in policy.identity.allow)
    assert main(["policy", "test", str(example / ".ciguard.yml")]) == 0
    assert f"(../gitlab/examples/{example.name})" in GUIDE
