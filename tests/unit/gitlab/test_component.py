"""The GitLab component: its definition, its documentation, and its shell scripts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from ciguard.operation import Json
from ciguard.report.export import gitlab_annotations
from tests.unit.gitlab.definitions import COMPONENT, ROOT, template
from tests.unit.session import sample

GUIDE = (ROOT / "docs/gitlab.md").read_text(encoding="utf-8")
INPUTS, JOBS = template("agent")
(JOB,) = JOBS.values()
HIDDEN_INPUTS, HIDDEN_JOBS = template("guard")
(HIDDEN,) = HIDDEN_JOBS.values()
ACTION = YAML(typ="safe", pure=True).load((ROOT / "action.yml").read_text(encoding="utf-8"))


def table(heading: str, *, number: int = 0) -> dict[str, tuple[str, ...]]:
    """The rows of the guide's table with that number under ``heading``: the first column, and the other columns."""
    section = GUIDE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[number]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
    return {name.strip("`"): tuple(cells) for name, *cells in rows[2:]}


def test_the_guide_lists_every_input_with_its_default_and_meaning() -> None:
    expected = {}
    for name, facts in INPUTS.items():
        default = facts.get("default", "(required)")
        shown = "`[{when: on_success}]`" if isinstance(default, list) else f"`{default}`" if default else ""
        expected[name] = ("(required)" if default == "(required)" else shown, facts["description"])
    assert table("Inputs") == expected


def test_every_input_and_output_of_the_action_has_its_row() -> None:
    rows = table("GitHub and GitLab side by side", number=1)
    assert list(rows) == list(dict.fromkeys([*ACTION["inputs"], *ACTION["outputs"]]))
    named = {
        cell.strip("`") for name, (cell,) in rows.items() if name in ACTION["inputs"] and re.fullmatch("`.*`", cell)
    }
    assert named <= set(INPUTS)


def test_what_both_have_by_the_same_name_has_the_same_default() -> None:
    both = set(INPUTS) & set(ACTION["inputs"]) - {"artifact-name"}
    assert both == {"policy", "working-directory", "base-ref", "names", "python"}
    assert {name: INPUTS[name]["default"] for name in both} == {
        name: ACTION["inputs"][name]["default"] for name in both
    }


def test_the_hidden_job_is_the_job_without_what_its_user_decides() -> None:
    *shared, run = HIDDEN["before_script"]
    assert {**HIDDEN, "before_script": shared} == {
        key: value for key, value in JOB.items() if key not in ("stage", "image", "rules", "script")
    }
    assert run == 'ciguard_run() { bash "$CIGUARD_HOME/source/gitlab/run.sh" "$@"; }'


def test_both_have_the_same_inputs_but_those_of_what_a_user_of_the_hidden_job_decides() -> None:
    assert {
        name: facts if name != "job-name" else None
        for name, facts in INPUTS.items()
        if name not in ("script", "stage", "image", "rules")
    } == {**HIDDEN_INPUTS, "job-name": None}
    assert HIDDEN_INPUTS["job-name"]["default"].startswith(".")


def test_no_input_but_the_script_is_spliced_into_a_command() -> None:
    commands = [*JOB["before_script"], *JOB["script"], *JOB["after_script"], *HIDDEN["before_script"]]
    assert [command for command in commands if "$[[" in command] == ["$[[ inputs.script ]]"]


def test_the_record_is_kept_whatever_happens() -> None:
    assert JOB["artifacts"]["when"] == "always"
    assert JOB["artifacts"]["paths"] == ["ciguard-session/", "ciguard-report.html", "ciguard-refusal.txt"]


KEPT = {name.rstrip("/") for name in (*JOB["artifacts"]["paths"], *JOB["artifacts"]["reports"].values())}
"""What of the checkout GitLab keeps."""


def project(folder: Path) -> Path:
    """Where the job's checkout is, when its scripts run in ``folder``."""
    path = folder / "shop"
    path.mkdir(exist_ok=True)
    return path


def refusal(folder: Path) -> str:
    """What the artifact says of why there is no session; the job's log says the same."""
    return (folder / "shop/ciguard-refusal.txt").read_text()


def bash(script: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A job's part, as the runner's bash runs it."""
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "GITLAB_CI": "true", "CI_PROJECT_DIR": str(project(folder)), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("commit", ["", "main", "1.0.0", "$[[ component.sha ]]", "0" * 39, f"--upload-pack={'0' * 40}"])
def test_nothing_is_fetched_without_the_exact_commit(tmp_path: Path, commit: str) -> None:
    done = bash(JOB["before_script"][0], tmp_path, CIGUARD_COMMIT=commit, CI_JOB_ID="1")
    assert done.returncode == 1
    assert "error: GitLab does not say which commit the component is at\nhelp: " in done.stderr
    assert refusal(tmp_path) in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "shop"]


def test_the_artifact_holds_nothing_that_was_in_the_checkout(tmp_path: Path) -> None:
    brought, outside = project(tmp_path), tmp_path / "outside"
    outside.write_text("untouched")
    for name in KEPT:
        (brought / name).symlink_to(outside)
    bash(JOB["before_script"][0], tmp_path, CIGUARD_COMMIT="", CI_JOB_ID="1")
    assert [path.name for path in brought.iterdir()] == ["ciguard-refusal.txt"]
    assert outside.read_text() == "untouched"


def test_a_commit_that_cannot_be_fetched_is_said(tmp_path: Path) -> None:
    done = bash(
        JOB["before_script"][0],
        tmp_path,
        CIGUARD_COMMIT="0" * 40,
        CIGUARD_COMPONENT="gitlab.example.com/acme/tools/ciguard/agent@1",
        CI_SERVER_URL=f"file://{tmp_path}",
        CI_JOB_ID="1",
        CI_JOB_TOKEN="job-token",
    )
    assert done.returncode == 1
    assert f"commit {'0' * 40} of acme/tools/ciguard cannot be fetched" in done.stderr
    assert "job-token" not in done.stdout + done.stderr


PRINTS = {
    "gitlab-runner": "echo $'\\x1b[32;1m$ {line}\\x1b[0;m'",
    "gitlab-ci-local": 'echo "<prompt> {line}"',
    "plain": "echo '$ {line}'",
    "quiet": "",
}
"""How runners print a line of a script before they run it."""


def scripted(*commands: str, prints: str = "plain") -> str:
    """The script of the job with ``commands``, each printed before it runs."""
    lines = [line for entry in JOB["script"] for line in (commands if "inputs.script" in entry else [entry])]
    printed = [part for line in lines for part in (PRINTS[prints].format(line=re.sub(r"[\"'$]", "", line)), line)]
    return "\n".join(printed)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the guard would be installed; it prints the command that it is to run, and runs it."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/bash\necho "guard $*" | head -1\nwhile [[ $1 != -- ]]; do shift; done; shift\nexec "$@"\n'
    )
    python.chmod(0o755)
    (tmp_path / "source").symlink_to(ROOT)
    (tmp_path / "shop/deep").mkdir(parents=True)
    return tmp_path


VARIABLES = {"CIGUARD_POLICY": ".ciguard.yml", "CIGUARD_WORKING_DIRECTORY": ".", "CIGUARD_BASE_REF": ""}


def test_the_script_runs_behind_the_guard_only(home: Path) -> None:
    script = scripted('echo "in $PPID" "it\\\'s"', "false | true", "touch never")
    done = bash(script, home / "shop", CIGUARD_HOME=str(home), **VARIABLES)
    lines = done.stdout.splitlines()
    guard = next(number for number, line in enumerate(lines) if line.startswith("guard "))
    assert [line for line in lines[:guard] if line.startswith("in ")] == []
    assert sum(line.startswith("in ") for line in lines) == 1
    assert done.returncode == 1
    assert not (home / "shop/never").exists()
    assert f"--session-dir {home}/session --refusal-file {home}/shop/shop/ciguard-refusal.txt --" in lines[guard]


def test_the_status_is_the_scripts(home: Path) -> None:
    assert bash(scripted("exit 42"), home / "shop", CIGUARD_HOME=str(home), **VARIABLES).returncode == 42
    assert bash(scripted("true"), home / "shop", CIGUARD_HOME=str(home), **VARIABLES).returncode == 0


def test_directory_and_base_reach_the_guard(home: Path) -> None:
    variables = VARIABLES | {"CIGUARD_WORKING_DIRECTORY": "deep", "CIGUARD_BASE_REF": "main"}
    done = bash(scripted("pwd"), home / "shop", CIGUARD_HOME=str(home), **variables)
    assert f"{home}/shop/deep" in done.stdout.splitlines()
    assert "--base-ref main --" in done.stdout


def test_a_command_of_somebodys_own_script_runs_behind_the_guard(home: Path) -> None:
    script = f"{HIDDEN['before_script'][-1]}\necho outside\nciguard_run bash -c 'echo \"$1\"' - 'a  b'\necho after"
    done = bash(script, home / "shop", CIGUARD_HOME=str(home), **VARIABLES)
    outside, guard, inside, after = done.stdout.splitlines()
    assert (outside, inside, after) == ("outside", "a  b", "after")
    assert guard.startswith("guard -I -m ciguard run --policy .ciguard.yml ")


def test_the_status_of_a_guarded_command_ends_the_script(home: Path) -> None:
    script = f"{HIDDEN['before_script'][-1]}\nciguard_run false\necho after"
    done = bash(script, home / "shop", CIGUARD_HOME=str(home), **VARIABLES)
    assert (done.returncode, "after" in done.stdout) == (1, False)


def test_no_command_is_an_error(home: Path) -> None:
    script = f"{HIDDEN['before_script'][-1]}\nciguard_run"
    done = bash(script, home / "shop", CIGUARD_HOME=str(home), **VARIABLES)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: There is no command to run behind the guard\nhelp: " in done.stderr


@pytest.mark.parametrize("prints", PRINTS)
@pytest.mark.parametrize("commands", [[], [""], ["", "  "], ["# only: words"]])
def test_an_empty_script_is_an_error(home: Path, commands: list[str], prints: str) -> None:
    done = bash(scripted(*commands, prints=prints), home / "shop", CIGUARD_HOME=str(home), **VARIABLES)
    assert done.returncode == 1
    assert "error: The input 'script' has no commands\nhelp: " in done.stderr
    assert refusal(home / "shop") in done.stderr
    assert "\nguard " not in done.stdout


@pytest.mark.parametrize("prints", PRINTS)
@pytest.mark.parametrize("command", ["echo hi: there", "true", ": > made", "if true; then\n  :\nfi"])
def test_any_command_is_a_script(home: Path, command: str, prints: str) -> None:
    done = bash(scripted(command, prints=prints), home / "shop", CIGUARD_HOME=str(home), **VARIABLES)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Where an image has the guard of the commit in ``COMPONENT``."""
    (tmp_path / "image/venv").mkdir(parents=True)
    (tmp_path / "image/commit").write_text(COMPONENT["sha"] + "\n")
    return tmp_path / "image"


def install(image: Path, folder: Path, commit: str, names: str = "false") -> subprocess.CompletedProcess[str]:
    """The component's installation with an unusable Python, so that it gets no further than to what it must install."""
    (folder / "home").mkdir()
    variables = {"CIGUARD_HOME": str(folder / "home"), "CIGUARD_PYTHON": "/bin/false"}
    variables |= {"CIGUARD_COMMIT": commit, "CIGUARD_NAMES": names}
    return bash(f"bash {ROOT}/gitlab/install.sh {image}", folder, **variables)


def test_the_guard_of_an_image_of_the_same_commit_is_used(image: Path, tmp_path: Path) -> None:
    done = install(image, tmp_path, COMPONENT["sha"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "home/venv").resolve() == image / "venv"


def test_the_guard_of_an_image_is_not_used_where_names_are_masked(image: Path, tmp_path: Path) -> None:
    done = install(image, tmp_path, COMPONENT["sha"], "true")
    assert (done.returncode, "is not Python 3.11 or later" in done.stderr) == (1, True)
    assert not (tmp_path / "home/venv").exists()


@pytest.mark.parametrize("commit", ["f" * 40, COMPONENT["sha"][:39], COMPONENT["sha"] + "0", "*", ""])
def test_the_guard_of_an_image_of_another_commit_is_not_used(image: Path, tmp_path: Path, commit: str) -> None:
    done = install(image, tmp_path, commit)
    assert done.returncode == 1
    assert (
        f"the image's guard is of commit {COMPONENT['sha']}, and the component's is installed: {commit}" in done.stderr
    )
    assert "is not Python 3.11 or later" in done.stderr
    assert not (tmp_path / "home/venv").exists()


def test_an_image_that_does_not_say_its_commit_has_no_guard(image: Path, tmp_path: Path) -> None:
    (image / "commit").write_text("")
    assert install(image, tmp_path, COMPONENT["sha"]).returncode == 1


def test_the_job_looks_for_an_images_guard_where_the_image_has_it() -> None:
    assert 'gitlab/install.sh" /opt/ciguard\n' in JOB["before_script"][0]
    assert 'echo "$COMMIT" >/opt/ciguard/commit' in (ROOT / "gitlab/Containerfile").read_text(encoding="utf-8")


def test_a_python_that_is_too_old_is_said(home: Path) -> None:
    old = home / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    variables = {"CIGUARD_HOME": str(home), "CIGUARD_PYTHON": str(old), "CIGUARD_NAMES": "false"}
    done = bash(f"bash {ROOT}/gitlab/install.sh {home}/none", home, **variables)
    assert (done.returncode, "is not Python 3.11 or later" in done.stderr) == (1, True)
    assert refusal(home) in done.stderr


def test_there_is_nothing_to_finish_before_a_session(home: Path) -> None:
    for script in (f"bash {ROOT}/gitlab/finish.sh", JOB["after_script"][0]):
        done = bash(script, home, CI_JOB_ID="1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A job of GitLab whose guard was killed, and whose agent left links in the artifact's place: its checkout."""
    checkout, outside = project(tmp_path), tmp_path / "outside"
    outside.mkdir()
    job: Json = {
        "forge": "gitlab",
        "repository": "acme/shop",
        "run_url": "https://gitlab.example.com/acme/shop/-/jobs/1",
        "server_url": "https://gitlab.example.com",
    }
    sample.start(tmp_path / "shop.tmp/ciguard-1/session", {**sample.STARTED, "job": job}).close()
    (tmp_path / "shop.tmp/ciguard-1/venv").symlink_to(sys.prefix)
    (checkout / "ciguard-session").symlink_to(outside)
    for name in SHOWN:
        (outside / name).write_text("untouched")
        (checkout / name).symlink_to(outside / name)
    return checkout


SHOWN = ("ciguard-report.html", "ciguard-junit.xml", "ciguard-annotations.json")


def test_a_session_that_was_cut_off_is_sealed_and_shown(recorded: Path) -> None:
    # Without the job's variables there is nobody to sign.
    done = bash(f"bash {ROOT}/gitlab/finish.sh", recorded.parent, CI_JOB_ID="1", GITLAB_CI="")
    assert done.returncode == 0, done.stderr
    assert (recorded / "ciguard-session/manifest.json").exists()
    assert "<!doctype html>" in (recorded / "ciguard-report.html").read_text().lower()
    (suite,) = ElementTree.parse(recorded / "ciguard-junit.xml").getroot()  # noqa: S314
    assert suite.get("errors") == "1"
    links = json.loads((recorded / "ciguard-annotations.json").read_text())["ciguard"]
    assert [link["external_link"]["label"] for link in links] == ["Session report", "Session"]


def test_what_the_agent_left_in_the_reports_place_leads_nowhere(recorded: Path) -> None:
    bash(f"bash {ROOT}/gitlab/finish.sh", recorded.parent, CI_JOB_ID="1")
    assert [(recorded.parent / "outside" / name).read_text() for name in SHOWN] == ["untouched"] * len(SHOWN)
    assert {path.name for path in (recorded.parent / "outside").iterdir()} == set(SHOWN)
    assert [path.name for path in recorded.iterdir() if path.is_symlink()] == []


def test_a_session_that_cannot_be_sealed_is_shown_all_the_same(recorded: Path) -> None:
    log = recorded.parent / "shop.tmp/ciguard-1/session/events.jsonl"
    log.write_bytes(log.read_bytes() + b"{}\n")
    done = bash(f"bash {ROOT}/gitlab/finish.sh", recorded.parent, CI_JOB_ID="1")
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert "the log is damaged" in (recorded / "ciguard-junit.xml").read_text()


def test_every_file_that_is_shown_is_kept(recorded: Path) -> None:
    bash(f"bash {ROOT}/gitlab/finish.sh", recorded.parent, CI_JOB_ID="1")
    assert {path.name for path in recorded.iterdir()} | {"ciguard-refusal.txt"} == KEPT
    assert {gitlab_annotations.REPORT, gitlab_annotations.DIRECTORY} <= KEPT


def test_the_guard_is_removed_when_its_work_is_done(home: Path) -> None:
    of_job = home / "shop.tmp/ciguard-1/source/gitlab"
    of_job.mkdir(parents=True)
    (of_job / "finish.sh").write_text("echo finished")
    assert bash(JOB["after_script"][0], home, CI_JOB_ID="1").stdout == "finished\n"
    assert list((home / "shop.tmp").iterdir()) == []
