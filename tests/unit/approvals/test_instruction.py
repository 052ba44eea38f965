from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.approvals.instruction import MORE, NOT_FIRST, OTHER_CONTENT, Answer, Instruction, Unclear, read

ID, DIGEST = "3f9a2c.1", "0123456789abcdef01234567"
NAME = f"{ID}-{DIGEST}"
APPROVE = f"/ciguard approve {NAME}"

ROWS = [
    (APPROVE, Instruction(Answer.APPROVE)),
    (f"{APPROVE}  ", Instruction(Answer.APPROVE)),
    (f"{APPROVE}\r\n\r\nI looked at the backup first.", Instruction(Answer.APPROVE)),
    (f"/ciguard deny {NAME}", Instruction(Answer.DENY)),
    (f"/ciguard deny {NAME} not on a Friday", Instruction(Answer.DENY, "not on a Friday")),
    (f" {APPROVE}", Unclear(NOT_FIRST)),
    (f"    {APPROVE}", Unclear(NOT_FIRST)),
    (f"\n{APPROVE}", Unclear(NOT_FIRST)),
    (f"> {APPROVE}", Unclear(NOT_FIRST)),
    (f"`{APPROVE}`", Unclear(NOT_FIRST)),
    (f"```\n{APPROVE}\n```", Unclear(NOT_FIRST)),
    (f"<!--\n{APPROVE}\n-->", Unclear(NOT_FIRST)),
    (f"ok\n{APPROVE}", Unclear(NOT_FIRST)),
    (f"{APPROVE} or rather not", Unclear(NOT_FIRST)),
    (f"\u200b{APPROVE}", Unclear(NOT_FIRST)),
    (f"{APPROVE}\u200b", Unclear(NOT_FIRST)),
    (f"{APPROVE}\x0b", Unclear(NOT_FIRST)),
    (f"ciguard approve {NAME}", Unclear(NOT_FIRST)),
    (f"/CIGUARD APPROVE {NAME} ciguard", Unclear(NOT_FIRST)),
    (f"/ciguard  approve {NAME}", Unclear(NOT_FIRST)),
    (f"/ciguard approve {ID}-{DIGEST[:-1]}", Unclear(OTHER_CONTENT)),
    (f"/ciguard approve {ID}-", Unclear(NOT_FIRST)),
    (f"/ciguard approve {ID}-{DIGEST}0", Unclear(OTHER_CONTENT)),
    (f"{APPROVE}\n/ciguard deny {NAME}", Unclear(MORE)),
    (f"{APPROVE}\n> /ciguard deny {NAME}", Unclear(MORE)),
    (f"/ciguard approve 3f9a2c.2-{DIGEST}", None),
    (f"/ciguard approve {DIGEST}", None),
    ("LGTM", None),
    ("", None),
    ("/ciguard approve", None),
]


@pytest.mark.parametrize(("body", "said"), ROWS)
def test_only_the_whole_first_line_is_an_instruction(body: str, said: object) -> None:
    assert read(body, ID, DIGEST) == said


def test_a_forge_may_want_another_prefix() -> None:
    assert read(f"ciguard approve {NAME}", ID, DIGEST, prefix="ciguard") == Instruction(Answer.APPROVE)
    assert read(APPROVE, ID, DIGEST, prefix="ciguard") == Unclear(NOT_FIRST)


@given(st.text(), st.text(min_size=1))
def test_nothing_before_the_line_and_nothing_in_it(after: str, before: str) -> None:
    assert not isinstance(read(before + APPROVE, ID, DIGEST), Instruction)
    answer = read(APPROVE + after, ID, DIGEST)
    if isinstance(answer, Instruction):
        assert after.replace("\r\n", "\n").split("\n")[0].strip(" ") == ""
