"""What a request has the model's own service do: run a tool, or fetch an address. The agent's closed network does not
bound that, so each is an operation.

A codec says which tools of its API the agent itself carries out; every other is the service's. An address is whatever
stands under a key that is named like one, wherever an API could read it: not where JSON is data of the agent's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ciguard.operation import Json

_ELSEWHERE = frozenset(
    # Keys under which JSON is the agent's: arguments and results of its tools, and their schemas.
    {"input", "arguments", "args", "response", "metadata", "input_examples"}
    | {"parameters", "parametersJsonSchema", "input_schema", "inputSchema", "schema", "output_schema"}
    | {"responseSchema", "response_schema", "responseJsonSchema", "response_json_schema"}
    # Keys under which an earlier answer says what the service has looked at; it is not fetched again.
    | {"citations", "annotations", "action"}
)

_ORIGIN_TYPES = ("web_search_result", "web_fetch_result")

_ADDRESS_KEY = re.compile(r"(?i).*ur[il]s?")
_UNNAMED = "?"
_CONTAINERS = (dict, list)  # asked much faster than a union


def tool(name: Json) -> str:
    """The service's own tool ``name``, as the operation ``remote`` has it; a name of another form is no name."""
    return f"tool {name if isinstance(name, str) and re.fullmatch(r'[A-Za-z0-9_.:-]{1,100}', name) else _UNNAMED}"


def address(url: str) -> str:
    """An address that the service is to fetch or to call, as the operation ``remote`` has it."""
    return f"address {url}"


def addresses_in(value: Json) -> list[str]:
    """Every address in ``value``. What a ``data:`` address holds is in the request itself."""
    found: list[str] = []
    pending: list[tuple[Json, bool]] = [(value, False)]
    while pending:
        here, named = pending.pop()
        if isinstance(here, str):
            if named and here and not here.startswith("data:"):
                found.append(address(here))
        elif isinstance(here, list):
            pending += [(item, named) for item in reversed(here)]
        elif isinstance(here, dict):
            origin = here.get("type") in _ORIGIN_TYPES
            for key, inner in reversed(here.items()):
                named = not origin and _ADDRESS_KEY.fullmatch(key) is not None
                if (named or isinstance(inner, _CONTAINERS)) and key not in _ELSEWHERE:
                    pending.append((inner, named))
    return found


def typed_tools(tools: Json, is_own: Callable[[str, dict[str, Json]], bool], missing: str = "") -> Iterator[str]:
    """The service's tools in a list in which each has a ``type``, and the addresses that any names.

    ``is_own`` says of a type and its tool whether the agent carries it out, or it reaches nothing; a tool without a
    type has the type ``missing``. A ``namespace`` holds further tools.
    """
    if not isinstance(tools, list):
        yield tool(None)
        return
    for one in tools:
        if not isinstance(one, dict):
            yield tool(None)
            continue
        type_ = one.get("type", missing)
        if not isinstance(type_, str) or not is_own(type_, one):
            yield tool(type_)
        if "tools" in one:
            yield from typed_tools(one["tools"], is_own, missing)
        yield from addresses_in({key: value for key, value in one.items() if key != "tools"})
