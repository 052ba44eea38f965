"""Names of agents' own tools by what they do with their texts, so that rules need not list them.

A rule that looks for dangerous commands must not stumble over a README that warns of one: tools in these groups
execute none of their texts. Names are exact; tools of MCP servers carry the server's name and so never count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_READING = frozenset(
    {
        *("Glob", "Grep", "LS", "NotebookRead", "Read", "ToolSearch", "WebSearch"),
        *("glob", "google_web_search", "grep", "grep_files", "grep_search", "list", "list_dir", "list_directory"),
        *("ls", "read", "read_file", "read_many_files", "search_file_content", "view", "view_image"),
    }
)
_WRITING = frozenset(
    {
        *("Agent", "Edit", "ExitPlanMode", "MultiEdit", "NotebookEdit", "Task", "TodoWrite", "Write"),
        *("apply_patch", "create", "edit", "multiedit", "patch", "replace", "save_memory"),
        *("str_replace_based_edit_tool", "str_replace_editor", "todowrite", "update_plan", "write", "write_file"),
        "write_todos",
    }
)

CHANGES_FILES = re.compile(
    r"(?i)write|edit|create|delete|remove|move|rename|patch|replace|insert|append|save|upload|put"
)
"""Names of tools, of MCP servers for example, that change the files which they are given."""

GROUPS: Mapping[str, frozenset[str]] = {
    "ciguard:reading-tools": _READING,
    "ciguard:writing-tools": _WRITING,
    "ciguard:text-tools": _READING | _WRITING,
}
"""Groups for ``tool: {names, except}``: tools that read; tools that write files, plans and notes; and both."""

SCRIPT_KEYS = frozenset(
    {"argv", "args", "bash", "cli", "cmd", "cmdline", "command", "command_line", "commandline", "commands", "exec"}
    | {"run", "script", "shell", "shell_command"}
)
"""Arguments of tools that hold a script, or a program's words."""
