"""A stand-in for the model services, on loopback, driven by a script: for tests, the demo and users' own tests.

It speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini ``generateContent``, streaming and
not, event for event in the official formats, and it checks credentials and requests as the services do::

    def script(conversation: Conversation) -> list[Block]:
        if conversation.tool_results:
            return [Text("Done.")]
        return [Text("I look."), Call("Bash", {"command": "ls"})]

    async with LoopbackModel(script, api_keys=["key"]) as model:
        client = anthropic.AsyncAnthropic(base_url=model.url, api_key="key")
        ...
        assert model.requests[0].headers["x-api-key"] == "key"

Left out: WebSockets; conversations kept by the service (``previous_response_id``, ``conversation``, background runs,
retrieval of stored responses), batches and files; compressed request bodies; sampling settings, stop sequences, token
limits and structured output, which are accepted and have no effect; rate limits; unknown keys and unknown content
types in requests, which the services refuse and this one lets pass; Anthropic's cache accounting; Gemini's partial
function arguments. Tokens are counted as four bytes each. Signatures and encrypted reasoning are stand-ins that only
this service can check: it refuses a changed one as the services do.
"""

from __future__ import annotations

from ciguard.testing.model.conversation import (
    Block,
    Call,
    Conversation,
    Native,
    Provider,
    Script,
    Text,
    Thinking,
    ToolResult,
)
from ciguard.testing.model.dialect import ReceivedRequest
from ciguard.testing.model.faults import (
    Coding,
    Compressed,
    Ending,
    EventLines,
    Fault,
    Faults,
    Fragmented,
    Header,
    Paused,
    Raw,
    Redirected,
    ServiceError,
    Slow,
    StreamError,
    Truncated,
    bomb,
)
from ciguard.testing.model.server import LoopbackModel

__all__ = [
    "Block",
    "Call",
    "Coding",
    "Compressed",
    "Conversation",
    "Ending",
    "EventLines",
    "Fault",
    "Faults",
    "Fragmented",
    "Header",
    "LoopbackModel",
    "Native",
    "Paused",
    "Provider",
    "Raw",
    "ReceivedRequest",
    "Redirected",
    "Script",
    "ServiceError",
    "Slow",
    "StreamError",
    "Text",
    "Thinking",
    "ToolResult",
    "Truncated",
    "bomb",
]
