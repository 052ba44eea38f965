"""The example that needs no model, as somebody would paste it: only names and addresses of the stand-ins differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.gitlab.runner import JOB, PROJECT, VERSION
from tests.e2e.gitlab.stage import Stage, verified
from tests.e2e.repository import ROOT

pytestmark = pytest.mark.timeout(300)

FOLDER = ROOT / "gitlab/examples/any-command"
UPDATE = """\
#!/bin/bash
touch updated
npm publish --dry-run
"""


def example(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((FOLDER / name).read_text(encoding="utf-8"))


@dataclass
class Pasted(Stage):
    """A project with the pipeline of the example; its job has the name that the runner looks for."""

    shown: Any = field(default_factory=lambda: example(".gitlab-ci.yml"))

    def pipeline(self, script: Sequence[str]) -> str:
        """The example's own script is run."""
        (included,) = self.shown["include"]
        included["component"] = included["component"].replace("@0.1.0", f"@{VERSION}")
        included["inputs"] |= {"job-name": JOB, "python": str(self.runner.python())}
        return json.dumps(self.shown)


async def test_what_publishes_waits_for_a_person(stage: Stage) -> None:
    pasted = Pasted(**vars(stage))
    forge = stage.runner.forge
    forge.add_user("carol", level=40)
    forge.add_group("acme/release", "carol")
    policy = example(".ciguard.yml")
    (allowed,) = policy["identity"]["allow"]
    allowed |= {"project_path": PROJECT, "job_project_path": PROJECT}
    policy["identity"]["issuers"] = [stage.runner.issuer.url]
    stage.source.commit({"update-dependencies.sh": UPDATE})
    stage.source.git("update-index", "--chmod=+x", "update-dependencies.sh")

    running = await pasted.propose(json.dumps(policy), [])
    _, reference = await pasted.request(running)
    forge.comment(7, "carol", f"ciguard deny {reference}")
    finished = await running.ended()

    # The guard reads what a script would run before it runs any of it.
    assert finished.status == 126, finished.said
    assert not (finished.checkout.path / "updated").exists()
    assert "denied by @carol" in finished.log
    assert verified(finished).returncode == 0
