"""What rules can ask of scripts as a whole, and of git: closed sets, apart from what finds them."""

from __future__ import annotations

from enum import StrEnum


class Trait(StrEnum):
    """What is remarkable about a script as a whole."""

    DOWNLOADED_CODE = "downloaded-code"
    DECODED_CODE = "decoded-code"
    INLINE_CODE = "inline-code"
    UNKNOWN_CODE = "unknown-code"
    UNKNOWN_PROGRAM = "unknown-program"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    FORK_BOMB = "fork-bomb"


class GitAct(StrEnum):
    """What rules can ask of a git command."""

    PUSH = "push"
    FORCE_PUSH = "force-push"
    LEASE_PUSH = "lease-push"
    DELETE_BRANCH = "delete-branch"
    REWRITE_HISTORY = "rewrite-history"
    REWRITE_COMMITS = "rewrite-commits"
    DISCARD_WORK = "discard-work"
    EXECUTABLE_SETTING = "executable-setting"
