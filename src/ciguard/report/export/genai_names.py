"""The names of OpenTelemetry's conventions for generative AI that exported spans use.

https://github.com/open-telemetry/semantic-conventions-genai. They are in development: what moves, moves here.
"""

from __future__ import annotations

from collections.abc import Mapping

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
SERVER_ADDRESS = "server.address"
ERROR_TYPE = "error.type"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"

CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
INVOKE_AGENT = "invoke_agent"

PROVIDERS: Mapping[str, str] = {"anthropic": "anthropic", "openai": "openai", "gemini": "gcp.gemini"}
"""The provider's name by the type of the connection."""
