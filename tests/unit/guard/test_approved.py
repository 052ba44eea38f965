from __future__ import annotations

import pytest

from ciguard.decision import Action
from ciguard.guard.approved import Approved
from ciguard.operation import Json, Operation, OperationKind
from ciguard.policy.evaluation import Evaluator
from ciguard.policy.models import Policy

POLICY = Policy.model_validate(
    {
        "version": 1,
        "approval": {"hold_at": 60, "block_at": 90},
        "rules": [
            {"id": "publish", "on": ["tool_call", "command"], "command": {"run": ["npm publish"]}, "action": "hold"},
            {"id": "delete", "on": ["tool_call", "command"], "command": {"run": ["rm -r"]}, "action": "hold"},
            {"id": "root", "on": ["tool_call", "command"], "command": {"run": ["sudo"]}, "risk": 60},
            {"id": "ship", "on": ["tool_call", "command"], "text": {"keywords": ["deploy"]}, "action": "hold"},
            {"id": "odd", "on": ["command"], "command": {"run": ["odd"]}, "risk": 30},
            {"id": "strange", "on": ["command"], "command": {"run": ["strange"]}, "risk": 30},
        ],
    },
    strict=False,
)


def call(script: str, id_: str = "call-1") -> Operation:
    body: dict[str, Json] = {"name": "Bash", "input": {"command": script}, "id": id_}
    return Operation(OperationKind.TOOL_CALL, body, "claude")


def command(*argv: str, cwd: str = "/job", **more: Json) -> Operation:
    return Operation(OperationKind.COMMAND, {"path": f"/bin/{argv[0]}", "argv": [*argv], "cwd": cwd, **more})


@pytest.fixture
def approved() -> Approved:
    approved = Approved(Evaluator(POLICY), "/job")
    approved.released(call("cd app && npm publish --tag next; rm -r 'old build'"))
    return approved


WRAPPED = "source /tmp/snapshot.sh && eval \"cd app && npm publish --tag next; rm -r 'old build'\" && pwd -P"


@pytest.mark.parametrize(
    "executed",
    [
        command("npm", "publish", "--tag", "next", cwd="/job/app"),
        command("rm", "-r", "old build", cwd="/job/app"),
        command("/usr/bin/npm", "publish", "--tag", "next", cwd="/job/app"),
        command("bash", "-lc", "cd app && npm publish --tag next; rm -r 'old build'"),
        command("bash", "-c", WRAPPED),
        command("bash", "-c", f"odd; {WRAPPED}"),
        command("bash", "-c", WRAPPED.replace(" && pwd", " < /dev/null && pwd")),
    ],
)
def test_the_commands_of_a_released_call_are_released(approved: Approved, executed: Operation) -> None:
    assert approved.covers(executed)


@pytest.mark.parametrize(
    "executed",
    [
        command("npm", "publish", cwd="/job/app"),
        command("npm", "publish", "--tag", "next", "--otp", "1", cwd="/job/app"),
        command("npm", "publish", "--tag", "next", cwd="/job"),
        command("rm", "-r", "old build", cwd="/etc"),
        command("rm", "-r", "old", "build", cwd="/job/app"),
        command("sudo", "npm", "publish", "--tag", "next", cwd="/job/app"),
        command("bash", "-c", "sudo npm publish --tag next", cwd="/job/app"),
        command("bash", "-c", f"{WRAPPED}; rm -r /"),
        command("bash", "-c", WRAPPED.replace(" && pwd", " < answers && pwd")),
        command("bash", "-c", WRAPPED.replace(" && pwd", " > /dev/null && pwd")),
        command("bash", "-c", f"odd; strange; {WRAPPED}"),
        command("bash", "-c", "npm publish --tag $TAG", cwd="/job/app"),
        command("bash", "-c", "npm publish --tag next > /etc/passwd", cwd="/job/app"),
        command("bash", "-c", "NODE_OPTIONS=--require=x npm publish --tag next", cwd="/job/app"),
        command("bash", "-c", "cd $X; npm publish --tag next", cwd="/job/app"),
        command("npm", "publish", "--tag", "next", cwd="/job/app", unread="too long"),
    ],
)
def test_whatever_differs_is_not(approved: Approved, executed: Operation) -> None:
    assert not approved.covers(executed)


SHIP = "echo deploy $TAG > deployed; npm publish --tag $TAG"
WRAPPED_SHIP = f"source /tmp/snapshot.sh && eval '{SHIP}' < /dev/null && pwd -P >| /tmp/cwd"


def shipping(**more: Json) -> Approved:
    """A script was released that a rule about texts held, with words that only its shell knows."""
    approved = Approved(Evaluator(POLICY), "/job")
    body: dict[str, Json] = {"name": "exec_command", "input": {"cmd": SHIP, **more}, "id": "call-1"}
    approved.released(Operation(OperationKind.TOOL_CALL, body, "codex"))
    return approved


@pytest.mark.parametrize("more", [{}, {"workdir": "/job"}, {"description": "deploy it", "timeout": 5}])
@pytest.mark.parametrize(
    "executed",
    [
        command("bash", "-lc", SHIP),
        command("sh", "-c", WRAPPED_SHIP),
        command("sh", "-c", f"cd /job && {WRAPPED_SHIP}", cwd="/tmp"),
    ],
)
def test_a_shell_that_is_given_the_released_script_is_released(executed: Operation, more: dict[str, Json]) -> None:
    assert Evaluator(POLICY).decide(executed).action is Action.HOLD
    approved = shipping(**more)
    assert approved.covers(executed)
    approved.released(call("npm publish --tag next", "call-2"))
    approved.ended("call-1")
    assert not approved.covers(executed)


@pytest.mark.parametrize(
    "executed",
    [
        command("bash", "-lc", SHIP, cwd="/etc"),
        command("bash", "-lc", f"{SHIP} "),
        command("bash", "-lc", f"{SHIP}; echo deploy"),
        command("bash", "-c", f"cd /etc; {WRAPPED_SHIP}"),
        command("bash", "-c", f"{WRAPPED_SHIP}; echo deploy"),
        command("bash", "-c", f"{WRAPPED_SHIP}; eval 'echo deploy'"),
        command("bash", "-c", f"eval 'echo deploy'; {WRAPPED_SHIP}"),
        command("bash", "-c", f"{WRAPPED_SHIP}; bash -c 'rm -r /'"),
        command("bash", "-c", f"eval '{SHIP}' > deploy"),
        command("bash", "-c", f"eval '{SHIP}' 'rm -r /'"),
        command("bash", "-c", f"eval 'rm -r /;' '{SHIP}'"),
        command("bash", "-lc", SHIP, "rm", "-r"),
        command("env", "X=deploy", "bash", "-lc", SHIP),
        # What the shell then starts.
        command("npm", "publish", "--tag", "next"),
    ],
)
def test_another_script_another_place_and_what_it_starts_are_not(executed: Operation) -> None:
    assert Evaluator(POLICY).decide(executed).action is Action.HOLD
    assert not shipping().covers(executed)


@pytest.mark.parametrize("more", [{"workdir": "/elsewhere"}, {"env": {"PATH": "/x"}}, {"stdin": "yes"}])
def test_a_call_that_says_more_than_its_script_releases_no_shell(more: dict[str, Json]) -> None:
    assert not shipping(**more).covers(command("bash", "-lc", SHIP))


def test_a_release_ends_with_the_result_of_its_call(approved: Approved) -> None:
    executed = command("npm", "publish", "--tag", "next", cwd="/job/app")
    approved.ended("call-2")
    assert approved.covers(executed)
    approved.ended("call-1")
    assert not approved.covers(executed)


def test_a_call_without_an_id_releases_itself_only() -> None:
    approved = Approved(Evaluator(POLICY), "/job")
    approved.released(call("npm publish", ""))
    assert not approved.covers(command("npm", "publish"))
