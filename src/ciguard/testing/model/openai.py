"""What OpenAI's two APIs share: https://platform.openai.com/docs/guides/error-codes and .../api-reference/models."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult

from ciguard.operation import Json
from ciguard.testing.model.answer import Answer, dump, json_answer
from ciguard.testing.model.dialect import NewId, RefusedError, authorization
from ciguard.testing.model.reading import MissingError, Node, Path, WrongTypeError

MODELS = ("gpt-5.2", "gpt-5.2-codex", "gpt-5-mini")

_ERROR_TYPES = {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


def credentials(headers: Mapping[str, str], url: SplitResult) -> list[str]:
    """A bearer token."""
    del url
    return authorization(headers)


def unauthorised(presented: list[str]) -> RefusedError:
    """401, with the key's ends in the message as the service shows them."""
    if not presented:
        return RefusedError(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    key = presented[0]
    hint = f"{key[:8]}{'*' * max(len(key) - 12, 0)}{key[-4:]}" if len(key) > 12 else key
    return RefusedError(401, f"Incorrect API key provided: {hint}.", code="invalid_api_key")


def place(path: Path) -> str:
    """A path as OpenAI writes it: ``input[0].role``."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return words.lstrip(".")


def from_missing(missing: MissingError) -> RefusedError:
    """The refusal of a request that lacks a parameter."""
    param = place(missing.path)
    return RefusedError(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def from_wrong_type(wrong: WrongTypeError) -> RefusedError:
    """The refusal of a parameter of the wrong type."""
    param = place(wrong.path)
    message = f"Invalid type for '{param}': expected {_article(wrong.expected)}, but got {_kind(wrong.found)} instead."
    return RefusedError(400, message, param=param, code="invalid_type")


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def tool_names(tools: Node | None) -> list[str]:
    """The names that a Responses tool list declares, those inside namespaces included."""
    names: list[str] = []
    for tool in [] if tools is None else tools.items():
        name, inner = tool.get("name"), tool.get("tools")
        if name is not None and inner is None:
            names.append(name.text())
        names.extend(tool_names(inner))
    return names


def error(status: int, message: str, param: str | None, code: str | None) -> dict[str, Json]:
    """The error object of both APIs."""
    return {
        "message": message,
        "type": _ERROR_TYPES.get(status, "invalid_request_error"),
        "param": param,
        "code": code,
    }


def refusal(refused: RefusedError, new_id: NewId) -> Answer:
    """An error object."""
    body = dump({"error": error(refused.status, refused.message, refused.param, refused.code)})
    return json_answer(refused.status, body, request_id(new_id))


def request_id(new_id: NewId) -> tuple[str, str]:
    """The header that names a request."""
    return ("x-request-id", new_id("req_", 32).lower())


def obfuscation(data: str, new_id: NewId) -> str:
    """Random characters that bring deltas to one length, which the service adds against traffic analysis."""
    return new_id("", 16 - len(data.encode("utf-8", "surrogatepass")) % 16)


def wants_obfuscation(request: Mapping[str, Json]) -> bool:
    """Whether the stream's deltas carry the ``obfuscation`` field: unless the client declines it."""
    options = request.get("stream_options")
    return not (isinstance(options, dict) and options.get("include_obfuscation") is False)


def _described(name: str) -> dict[str, Json]:
    return {"id": name, "object": "model", "created": 1767225600, "owned_by": "system"}


def models() -> Answer:
    """https://platform.openai.com/docs/api-reference/models/list"""
    data: list[Json] = [_described(name) for name in MODELS]
    return json_answer(200, dump({"object": "list", "data": data}))


def model(name: str) -> Answer:
    """https://platform.openai.com/docs/api-reference/models/retrieve"""
    if name not in MODELS:
        raise RefusedError(404, f"The model '{name}' does not exist", param="model", code="model_not_found")
    return json_answer(200, dump(_described(name)))
