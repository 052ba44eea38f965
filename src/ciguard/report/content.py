"""The body of an operation or a result as a person reads it: a title of a few words, and text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ciguard.operation import Json, OperationKind, ResultKind


@dataclass(frozen=True, slots=True)
class Content:
    """``title`` is short (a tool's name, a method) or empty; ``text`` may have many lines. Neither is inert yet."""

    title: str
    text: str

    @property
    def line(self) -> str:
        """Both together."""
        return ": ".join(part for part in (self.title, self.text) if part)


def content_of(kind: OperationKind | ResultKind, body: Json) -> Content:
    """How the body of an operation or result of ``kind`` reads. A body of another shape reads as its JSON."""
    match kind, body:
        case (
            (OperationKind.PROMPT | OperationKind.INSTRUCTIONS | OperationKind.REMOTE | ResultKind.TOOL_RESULT),
            {"texts": list(texts)},
        ):
            return Content("", "\n".join(_text(text) for text in texts))
        case OperationKind.TOOL_CALL, {"name": str(name), "input": given}:
            sole = next(iter(given.values())) if isinstance(given, dict) and len(given) == 1 else None
            return Content(name, sole if isinstance(sole, str) else fields(given))
        case OperationKind.COMMAND, {"argv": list(argv)}:
            return Content("", shlex.join(_text(word) for word in argv))
        case OperationKind.HTTP_REQUEST, {"method": str(method), "url": str(url), **rest}:
            body_text = rest.get("body", f"({rest['bytes']} bytes)" if "bytes" in rest else "")
            return Content(f"{method} {url}", str(body_text))
        case OperationKind.SQL, {"statement": str(statement)}:
            return Content("", statement)
        case OperationKind.CONNECT, {"host": str(host), "port": int(port), **rest}:
            named = [f"TLS for {name}" for name in (rest.get("server_name"),) if name]
            addresses = [str(address) for address in (rest.get("address"),) if address]
            return Content(f"{host}:{port}", ", ".join([*addresses, *named]))
        case OperationKind.SSH_COMMAND, {"host": str(host), "command": str(command)}:
            return Content(host, command)
        case ResultKind.RESPONSE_TEXT, {"text": str(text)}:
            return Content("", text)
        case _:
            return Content("", fields(body))


def fields(value: Json) -> str:
    """A line for each key of an object; any other value as it is."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    return _text(value)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
