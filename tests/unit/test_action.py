"""The action's definition, its documentation, the workflows people paste from there, and its shell scripts."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ciguard import errors
from ciguard.policy.loading import load_policy
from ciguard.policy.trust import source_for
from ciguard.session.statement import PREDICATE_TYPE

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/github.md"
PINNED = re.compile(r"uses: [\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def load(text: str) -> Any:
    """A YAML document; ``on`` stays a string, as GitHub reads it."""
    return YAML(typ="safe", pure=True).load(text)


ACTION = load((ROOT / "action.yml").read_text(encoding="utf-8"))
GUIDE_BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
GUIDE_WORKFLOWS = [block for block in GUIDE_BLOCKS if "\njobs:\n" in block]
APPROVALS = (ROOT / "docs/approvals.md").read_text(encoding="utf-8")
APPROVAL_BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", APPROVALS, re.MULTILINE | re.DOTALL)
APPROVAL_WORKFLOWS = [block for block in APPROVAL_BLOCKS if "\njobs:\n" in block]
RESUME = load((ROOT / "resume/action.yml").read_text(encoding="utf-8"))
WORKFLOW_TEXTS = [
    (ROOT / "action.yml").read_text(encoding="utf-8"),
    *APPROVAL_WORKFLOWS,
    *(path.read_text(encoding="utf-8") for path in sorted((ROOT / ".github/workflows").glob("*.yml"))),
    *GUIDE_WORKFLOWS,
]


def table(heading: str) -> dict[str, tuple[str, ...]]:
    """The rows of the guide's table under ``heading``: the name in the first column, and the other columns."""
    section = GUIDE.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {name.strip("`"): tuple(cells) for name, *cells in rows[2:]}


def test_the_guide_lists_every_input_with_its_default_and_meaning() -> None:
    expected = {}
    for name, facts in ACTION["inputs"].items():
        default = "(required)" if facts.get("required") else f"`{facts['default']}`" if facts["default"] else ""
        expected[name] = (default, facts["description"])
    assert table("Inputs") == expected


def test_the_guide_lists_every_output_with_its_meaning() -> None:
    assert table("Outputs") == {name: (facts["description"],) for name, facts in ACTION["outputs"].items()}


@pytest.mark.parametrize("text", WORKFLOW_TEXTS)
def test_every_action_is_pinned_by_commit_with_its_version(text: str) -> None:
    uses = re.findall(r"uses: .*", text)
    assert uses
    own = "uses: ./.ciguard-action # zizmor: ignore[self-repository]"
    assert [line for line in uses if not PINNED.fullmatch(line) and line != own] == []


@pytest.mark.parametrize("action", [ACTION, RESUME], ids=["action", "resume"])
def test_no_expression_is_spliced_into_a_script(action: Mapping[str, Any]) -> None:
    scripts = [step["run"] for step in action["runs"]["steps"] if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


@pytest.mark.parametrize("name", ["Prepare", "Install the guard"])
def test_the_action_that_resumes_gives_the_scripts_what_the_other_gives_them(name: str) -> None:
    given = [
        {step["name"]: set(step.get("env", ())) for step in action["runs"]["steps"]}[name]
        for action in (ACTION, RESUME)
    ]
    assert given[0] == given[1] != set()


@pytest.mark.parametrize("action", [ACTION, RESUME], ids=["action", "resume"])
def test_every_input_reaches_a_step(action: Mapping[str, Any]) -> None:
    steps = str(action["runs"]["steps"])
    assert [name for name in action["inputs"] if f"inputs.{name} " not in steps] == []


@pytest.mark.parametrize("workflow", [*GUIDE_WORKFLOWS, *APPROVAL_WORKFLOWS])
def test_workflows_to_paste_pass_the_linters(workflow: str, tmp_path: Path) -> None:
    file = tmp_path / ".github/workflows/agent.yml"
    file.parent.mkdir(parents=True)
    file.write_text(workflow, encoding="utf-8")
    tools = Path(sys.executable).parent
    subprocess.run([tools / "actionlint", "-shellcheck=", "-pyflakes=", file], cwd=tmp_path, check=True)
    subprocess.run([tools / "zizmor", "--offline", "--no-progress", "--quiet", "--strict-collection", file], check=True)


def test_the_workflow_that_resumes_can_start_runs_and_read_comments_and_nothing_else() -> None:
    (workflow,) = [load(text) for text in APPROVAL_WORKFLOWS if "issue_comment" in text]
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"actions": "write", "issues": "read", "pull-requests": "read"}
    (step,) = job["steps"]
    assert step["uses"].startswith("acme/ciguard/resume@")
    assert "with" not in step
    assert "secrets." not in str(workflow)


def test_the_workflow_with_an_environment_hands_on_what_waits_and_only_to_the_job_that_is_let_in() -> None:
    (workflow,) = [load(text) for text in APPROVAL_WORKFLOWS if "environment:" in text]
    first, second = workflow["jobs"]["agent"], workflow["jobs"]["approved"]
    guarded = [next(step for step in job["steps"] if "ciguard" in step.get("uses", "")) for job in (first, second)]
    assert guarded[0]["with"] == {"run": guarded[1]["with"]["run"]}
    assert guarded[1]["with"].keys() <= ACTION["inputs"].keys()
    assert guarded[1]["with"]["approved"] == "${{ needs.agent.outputs.awaiting }}"
    assert first["outputs"] == {"awaiting": "${{ steps.agent.outputs.awaiting }}"}
    assert "environment" not in first
    assert second["environment"] == "agent-approved"
    assert second["permissions"] == {"actions": "read", "contents": "read", "id-token": "write"}


REUSABLE = load((ROOT / ".github/workflows/guarded-agent.yml").read_text(encoding="utf-8"))


def test_the_reusable_workflow_runs_nothing_of_its_caller_but_the_agent() -> None:
    (job,) = REUSABLE["jobs"].values()
    own = next(step for step in job["steps"] if "job.workflow_sha" in str(step))
    assert own["with"]["path"] == ".ciguard-action"
    (guarded,) = [step for step in job["steps"] if step.get("uses") == "./.ciguard-action"]
    assert job["steps"][-1] is guarded
    assert guarded["with"].keys() <= ACTION["inputs"].keys()
    assert [step for step in job["steps"] if "inputs.run" in str(step) or "secrets." in str(step)] == [guarded]
    assert [step for step in job["steps"] if "${{" in step.get("run", "")] == []
    # What the caller grants: see the comment there.
    assert "permissions" not in {*job, *REUSABLE}
    given = {name for name in REUSABLE["on"]["workflow_call"]["secrets"] if f"secrets.{name}" in str(guarded)}
    assert given == REUSABLE["on"]["workflow_call"]["secrets"].keys()


def test_the_workflow_that_calls_it_uses_inputs_and_secrets_that_exist() -> None:
    (caller,) = [job for text in GUIDE_WORKFLOWS for job in load(text)["jobs"].values() if "steps" not in job]
    called = REUSABLE["on"]["workflow_call"]
    assert caller["uses"].partition("@")[0] == "acme/ciguard/.github/workflows/guarded-agent.yml"
    assert caller["with"].keys() <= called["inputs"].keys()
    assert caller["secrets"].keys() <= called["secrets"].keys()
    assert caller["permissions"] == {"contents": "read", "id-token": "write"}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"AGENT": "other", "VERSION": "1.2.3"}, "There is no agent 'other'"),
        ({"AGENT": "codex", "VERSION": "latest"}, "is not exact"),
        ({"AGENT": "codex", "VERSION": ""}, "is not exact"),
    ],
)
def test_only_known_agents_in_exact_versions_are_installed(environ: dict[str, str], words: str) -> None:
    done = subprocess.run(
        ["bash", ROOT / "action/install-agent.sh"],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize("workflow", [text for text in GUIDE_WORKFLOWS if "guarded-agent.yml@" not in text])
def test_workflows_to_paste_use_inputs_that_exist_and_keep_the_credential_to_one_step(workflow: str) -> None:
    (job,) = load(workflow)["jobs"].values()
    (guarded,) = [step for step in job["steps"] if step.get("uses", "").startswith("acme/ciguard@")]
    assert guarded["with"].keys() <= ACTION["inputs"].keys()
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    holders = [step for step in job["steps"] if "secrets." in str(step)]
    assert holders == [guarded]
    assert "env" not in job


def test_the_policy_to_paste_is_valid_and_names_what_the_first_workflow_gives(tmp_path: Path) -> None:
    (text,) = [block for block in GUIDE_BLOCKS if block.startswith("version: 1\n")]
    (tmp_path / ".ciguard.yml").write_text(text, encoding="utf-8")
    policy = load_policy(source_for(None, tmp_path, None), ".ciguard.yml")
    variables = {*policy.env, *(connection.credential.env for connection in policy.connections.values())}
    (job,) = load(GUIDE_WORKFLOWS[0])["jobs"].values()
    assert job["steps"][-1]["env"].keys() == variables


def test_the_stand_in_for_the_upload_has_the_inputs_that_the_action_gives_it() -> None:
    stand_in = load((ROOT / "tests/e2e/act/upload-artifact/action.yml").read_text(encoding="utf-8"))
    (upload,) = [
        step for step in ACTION["runs"]["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")
    ]
    assert upload["with"].keys() <= stand_in["inputs"].keys()


def test_what_is_attested_is_what_the_session_signs() -> None:
    (attest,) = [step for step in ACTION["runs"]["steps"] if step.get("uses", "").startswith("actions/attest@")]
    stand_in = load((ROOT / "tests/e2e/act/attest/action.yml").read_text(encoding="utf-8"))
    assert attest["with"].keys() == stand_in["inputs"].keys()
    assert attest["with"]["predicate-type"] == PREDICATE_TYPE
    assert attest["with"]["subject-path"] == attest["with"]["predicate-path"]


def test_troubleshooting_lists_every_exit_code() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    section = text.split("\n## Exit statuses\n", 1)[1].split("\n## ", 1)[0]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    classes = [item for item in vars(errors).values() if isinstance(item, type)]
    assert listed == {item.exit_code for item in classes if issubclass(item, errors.CiguardError)}


# The scripts


@pytest.fixture
def step(tmp_path: Path) -> dict[str, str]:
    """The environment of a step of the action: a runner's variables and the action's own."""
    for name in ("temp", "workspace"):
        (tmp_path / name).mkdir()
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "action", checkout / "action")
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "GITHUB_ACTION_PATH": str(checkout),
        "GITHUB_JOB": "agent",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "RUNNER_ARCH": "X64",
        "RUNNER_OS": "Linux",
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "CIGUARD_PYTHON": sys.executable,
        "CIGUARD_NAMES": "false",
        "CIGUARD_ARTIFACT_NAME": "",
        "CIGUARD_HOME": str(tmp_path / "home"),
        "CIGUARD_PACKAGES": str(tmp_path / "packages"),
    }


def run(script: str, step: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one of the action's scripts as its step does, in the workspace."""
    return subprocess.run(
        ["bash", Path(step["GITHUB_ACTION_PATH"]) / "action" / script],
        env=step,
        cwd=Path(step["RUNNER_TEMP"]).with_name("workspace"),
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, text: str) -> str:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def prepared(step: Mapping[str, str]) -> dict[str, str]:
    """The outputs of a successful prepare.sh."""
    finished = run("prepare.sh", step)
    assert finished.returncode == 0, finished.stderr
    output = Path(step["GITHUB_OUTPUT"])
    lines = output.read_text(encoding="utf-8").splitlines()
    output.unlink()
    return dict(line.split("=", 1) for line in lines)


def test_prepare_gives_every_use_a_directory_and_an_artifact_of_its_own(step: dict[str, str]) -> None:
    first, second = prepared(step), prepared(step)
    assert Path(first["home"]).is_dir()
    assert Path(first["home"]).parent == Path(step["RUNNER_TEMP"])
    assert first["home"] != second["home"]
    assert first["artifact-name"] != second["artifact-name"]
    assert re.fullmatch(r"ciguard-session-agent-[A-Za-z0-9]{8}", first["artifact-name"])
    assert prepared({**step, "CIGUARD_ARTIFACT_NAME": "record.1"})["artifact-name"] == "record.1"


def test_prepare_names_the_cache_by_platform_python_and_lock(step: dict[str, str]) -> None:
    before = prepared(step)["packages-key"]
    lock = Path(step["GITHUB_ACTION_PATH"]) / "requirements/run.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    assert re.fullmatch(rf"ciguard-Linux-X64-cpython-{sys.version_info[0]}{sys.version_info[1]}-.*-{digest}", before)
    assert prepared({**step, "RUNNER_ARCH": "ARM64"})["packages-key"] != before
    lock.write_text("changed", encoding="utf-8")
    assert prepared(step)["packages-key"] != before


def test_prepare_names_another_cache_for_what_names_need(step: dict[str, str]) -> None:
    lock = Path(step["GITHUB_ACTION_PATH"]) / "requirements/names.txt"
    key = prepared({**step, "CIGUARD_NAMES": "true"})["packages-key"]
    assert key.endswith(hashlib.sha256(lock.read_bytes()).hexdigest())
    assert key != prepared(step)["packages-key"]


@pytest.mark.parametrize(
    ("python", "cause"),
    [
        ("exit 1", "is not Python 3.11 or later"),
        ('case "$*" in *pip*) exit 1;; esac; echo cpython-312 0', "has no pip"),
    ],
)
def test_prepare_refuses_an_unusable_python(step: dict[str, str], tmp_path: Path, python: str, cause: str) -> None:
    finished = run("prepare.sh", {**step, "CIGUARD_PYTHON": program(tmp_path / "python", python)})
    assert finished.returncode == 1
    assert cause in finished.stderr
    assert "help: Put actions/setup-python before this step" in finished.stderr
    assert finished.stdout.startswith("::error title=ciguard::")
    assert list(Path(step["RUNNER_TEMP"]).iterdir()) == []


def test_prepare_refuses_a_python_that_is_not_there(step: dict[str, str]) -> None:
    finished = run("prepare.sh", {**step, "CIGUARD_PYTHON": "no-such-python"})
    assert finished.returncode == 1
    assert "error: no-such-python is not Python 3.11 or later" in finished.stderr


@pytest.mark.parametrize("name", ["two words", "a/b", "a\nhome=/tmp", "ü"])
def test_prepare_refuses_artifact_names_that_could_be_anything_else(step: dict[str, str], name: str) -> None:
    finished = run("prepare.sh", {**step, "CIGUARD_ARTIFACT_NAME": name})
    assert finished.returncode == 1
    assert "artifact-name" in finished.stderr
    assert not Path(step["GITHUB_OUTPUT"]).exists()


@pytest.mark.usefixtures("locked")
def test_no_script_imports_from_the_workspace(step: dict[str, str], tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    for module in ("pip", "venv", "hashlib", "ciguard"):
        (workspace / f"{module}.py").write_text("open('imported', 'w')", encoding="utf-8")
    hostile = {**step, "PYTHONPATH": str(workspace), "PYTHONSTARTUP": str(workspace / "pip.py")}
    prepared(hostile)
    finished = run("install.sh", hostile)
    assert finished.returncode == 0, finished.stderr
    assert not (workspace / "imported").exists()


def wheel(directory: Path, name: str, content: str) -> Path:
    """A wheel of one module ``name`` with ``content``."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}-1.0-py3-none-any.whl"
    metadata = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{metadata}/RECORD", "")
    return path


BACKEND = """
import zipfile
def build_wheel(directory, settings=None, metadata=None):
    name = "ciguard-1.0-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as archive:
        archive.writestr("ciguard/__init__.py", "")
        archive.writestr("ciguard/__main__.py", "import dependency; print(dependency.VALUE)")
        archive.writestr("ciguard/inspect/__init__.py", "")
        archive.writestr("ciguard/inspect/compiled.py", "")
        metadata = "ciguard-1.0.dist-info/"
        archive.writestr(metadata + "METADATA", "Metadata-Version: 2.1\\nName: ciguard\\nVersion: 1.0\\n")
        archive.writestr(metadata + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(metadata + "RECORD", "")
    return name
"""


@pytest.fixture
def locked(step: dict[str, str]) -> Path:
    """A checkout whose guard needs one package, which is locked and in the cache: the package's file."""
    checkout = Path(step["GITHUB_ACTION_PATH"])
    package = wheel(Path(step["CIGUARD_PACKAGES"]), "dependency", "VALUE = 'genuine'")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    lock = f"dependency==1.0 --hash=sha256:{digest}\n"
    (checkout / "requirements/run.txt").write_text(lock, encoding="utf-8")
    (checkout / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n', encoding="utf-8"
    )
    (checkout / "backend.py").write_text(BACKEND, encoding="utf-8")
    return package


@pytest.mark.usefixtures("locked")
def test_install_takes_cached_packages_and_this_checkout(step: dict[str, str]) -> None:
    finished = run("install.sh", step)
    assert finished.returncode == 0, finished.stderr
    python = Path(step["CIGUARD_HOME"]) / "venv/bin/python"
    assert subprocess.check_output([python, "-I", "-m", "ciguard"], text=True) == "genuine\n"


def test_install_takes_what_names_need_when_asked(step: dict[str, str], locked: Path) -> None:
    lock = Path(step["GITHUB_ACTION_PATH"]) / "requirements/run.txt"
    lock.rename(lock.with_name("names.txt"))
    finished = run("install.sh", {**step, "CIGUARD_NAMES": "true"})
    assert finished.returncode == 0, finished.stderr
    assert run("install.sh", step).returncode != 0
    assert locked.exists()


def test_install_refuses_a_cached_package_that_is_not_the_locked_one(step: dict[str, str], locked: Path) -> None:
    wheel(locked.parent, "dependency", "VALUE = 'tampered with'")
    finished = run("install.sh", step)
    assert finished.returncode == 1
    assert "error: The guard's packages do not match its lock" in finished.stderr
    assert "help: Delete the repository's caches whose names begin with 'ciguard-'" in finished.stderr


def test_install_says_when_packages_cannot_be_downloaded(step: dict[str, str], locked: Path) -> None:
    shutil.rmtree(locked.parent)
    finished = run("install.sh", {**step, "PIP_NO_INDEX": "1"})
    assert finished.returncode == 1
    assert "error: The guard's packages could not be downloaded" in finished.stderr
    assert not locked.parent.exists()


@pytest.fixture
def guard(step: dict[str, str]) -> dict[str, str]:
    """A step whose guard prints its process id and its arguments, one a line, and ends with status 9."""
    program(Path(step["CIGUARD_HOME"]) / "venv/bin/python", r'echo $$; printf "%s\n" "$@"; cat; exit 9')
    return {
        **step,
        "CIGUARD_RUN": 'echo "$A"',
        "CIGUARD_POLICY": ".ciguard.yml",
        "CIGUARD_BASE_REF": "",
        "CIGUARD_APPROVED": "",
        "CIGUARD_WORKING_DIRECTORY": ".",
    }


def test_run_hands_the_script_to_the_guard_as_one_argument(guard: dict[str, str]) -> None:
    finished = run("run.sh", guard)
    assert finished.returncode == 9
    session = f"{guard['CIGUARD_HOME']}/session"
    assert finished.stdout.splitlines()[1:] == [
        *("-I", "-m", "ciguard", "run", "--policy", ".ciguard.yml", "--session-dir", session, "--"),
        *("bash", "-eo", "pipefail", "-c", 'echo "$A"'),
    ]


def test_run_becomes_the_guard_so_that_the_guard_gets_the_runners_signals(guard: dict[str, str]) -> None:
    process = subprocess.Popen(
        ["bash", Path(guard["GITHUB_ACTION_PATH"]) / "action/run.sh"], env=guard, stdout=subprocess.PIPE, text=True
    )
    output, _ = process.communicate(timeout=10)
    assert output.splitlines()[0] == str(process.pid)


def test_run_passes_the_base_and_the_working_directory_on(guard: dict[str, str]) -> None:
    finished = run(
        "run.sh",
        {**guard, "CIGUARD_APPROVED": "a b", "CIGUARD_BASE_REF": "main", "CIGUARD_WORKING_DIRECTORY": "web app"},
    )
    arguments = finished.stdout.splitlines()
    assert arguments[arguments.index("--base-ref") + 1] == "main"
    assert arguments[arguments.index("--approved") + 1] == "a b"
    assert arguments[arguments.index("--") + 1 :] == [
        *("env", "--chdir", "web app", "--", "bash", "-eo", "pipefail", "-c", 'echo "$A"'),
    ]
