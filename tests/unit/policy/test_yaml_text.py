from __future__ import annotations

from ciguard.policy.yaml_text import dump


def test_block_style_with_quotes_only_where_needed() -> None:
    value = {
        "version": 1,
        "rules": [{"id": "a-b", "on": ["prompt"], "text": {"regex": ["(?i)x", "a\nb", "no", "\u2028é"]}}],
        "empty": [],
        "none": {},
        "flag": True,
        "30m": "30m",
    }
    assert dump(value) == (  # type: ignore[arg-type]
        "version: 1\n"
        "rules:\n"
        "  - id: a-b\n"
        '    "on":\n'
        "      - prompt\n"
        "    text:\n"
        "      regex:\n"
        '        - "(?i)x"\n'
        '        - "a\\nb"\n'
        '        - "no"\n'
        '        - "\\u2028é"\n'
        "empty: []\n"
        "none: {}\n"
        "flag: true\n"
        '"30m": "30m"\n'
    )


def test_lists_within_lists() -> None:
    assert dump({"a": [["v", "w"], [{"b": 1}]]}) == "a:\n  - - v\n    - w\n  - - b: 1\n"
