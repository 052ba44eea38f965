"""The ways in which a step speaks to the GitHub runner: commands in its output, and files.

Source: https://docs.github.com/actions, "Workflow commands for GitHub Actions", environment files.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workflow_commands_stopped(environ: Mapping[str, str]) -> Iterator[None]:
    """Make the runner ignore workflow commands in what is printed meanwhile, so that an agent cannot give any.

    Source: the same page, "Stopping and starting workflow commands".
    """
    if environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        yield
    finally:
        print(f"::{token}::", flush=True)


def add_summary(environ: Mapping[str, str], markdown: str) -> None:
    """Add ``markdown`` to the job summary, where there is one."""
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{markdown}\n")


def set_outputs(environ: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Set outputs of the step, where there is one. A value ends at a line that nobody can guess."""
    if path := environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            for name, value in outputs.items():
                end = secrets.token_hex(16)
                file.write(f"{name}<<{end}\n{value}\n{end}\n")
