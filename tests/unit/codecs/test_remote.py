"""What each API's requests have the service itself do, in every spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.codecs.anthropic import Anthropic
from ciguard.codecs.codec import Codec
from ciguard.codecs.gemini import Gemini
from ciguard.codecs.openai_chat import OpenAIChat
from ciguard.codecs.openai_responses import OpenAIResponses
from ciguard.codecs.remote import addresses_in, tool
from ciguard.operation import Json

URL = "https://files.example.com/a.png"
ADDRESS = f"address {URL}"
INLINE = "data:image/png;base64,iVBORw0KGgo="
SCHEMA: Json = {"type": "object", "properties": {"url": {"type": "string"}}, "examples": [{"url": URL}]}
SEARCHED: Json = {"type": "web_search_result", "url": URL, "title": "x"}

Case = tuple[str, Json, list[str]]

ANTHROPIC: list[Case] = [
    ("tools", [{"name": "Bash", "input_schema": SCHEMA, "input_examples": [{"url": URL}]}], []),
    ("tools", [{"type": "custom", "name": "Fetch", "input_schema": SCHEMA}], []),
    ("tools", [{"type": "bash_20250124", "name": "bash"}, {"type": "memory_20250818", "name": "memory"}], []),
    ("tools", [{"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}], []),
    ("tools", [{"type": "web_search_20250305", "name": "web_search"}], ["tool web_search_20250305"]),
    ("tools", [{"type": "web_fetch_20250910", "name": "Bash"}], ["tool web_fetch_20250910"]),
    ("tools", [{"type": "code_execution_20250825", "name": "x"}], ["tool code_execution_20250825"]),
    ("tools", [{"type": "bash_", "name": "x"}, {"type": "Custom"}], ["tool bash_", "tool Custom"]),
    ("tools", [{"type": "custom_search"}], ["tool custom_search"]),
    ("tools", [{"type": None, "name": "x"}, {"type": ["custom"]}, "x"], ["tool ?", "tool ?", "tool ?"]),
    ("tools", [{"type": "custom", "name": "x", "server_url": URL}], [ADDRESS]),
    ("tools", [{"type": "newest_thing", "endpointUri": URL}], ["tool newest_thing", ADDRESS]),
    ("tools", {"type": "custom"}, ["tool ?"]),
    ("TOOLS", [{"type": "web_search_20250305"}], ["tool web_search_20250305"]),
    ("mcp_servers", [{"type": "url", "url": URL, "name": "x"}], ["tool mcp", ADDRESS]),
    ("messages", {"role": "user", "content": f"Look at {URL}"}, []),
    ("messages", {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]}, [ADDRESS]),
    ("messages", {"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": URL}}]}, [ADDRESS]),
    ("messages", {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "x"}}]}, []),
    (
        "messages",
        {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image", "source": {"url": URL}}]}]},
        [ADDRESS],
    ),
    (
        "messages",
        {"content": [{"type": "document", "source": {"content": [{"type": "image", "source": {"url": "//a"}}]}}]},
        ["address //a"],
    ),
    ("messages", {"content": [{"type": "tool_use", "name": "WebFetch", "input": {"url": URL}}]}, []),
    ("messages", {"content": [{"type": "web_search_tool_result", "content": [SEARCHED]}]}, []),
    ("messages", {"content": [{"type": "text", "text": "x", "citations": [{"url": URL}]}]}, []),
    ("metadata", {"url": URL}, []),
    ("unheard_of", {"callback_url": URL}, [ADDRESS]),
]

RESPONSES: list[Case] = [
    ("tools", [{"type": "function", "name": "fetch", "parameters": SCHEMA}], []),
    ("tools", [{"type": "namespace", "tools": [{"type": "function", "name": "x", "parameters": SCHEMA}]}], []),
    ("tools", [{"type": "custom"}, {"type": "local_shell"}, {"type": "apply_patch"}, {"type": "tool_search"}], []),
    ("tools", [{"type": "web_search", "external_web_access": True}], ["tool web_search"]),
    ("tools", [{"type": "web_search_preview_2025_03_11"}], ["tool web_search_preview_2025_03_11"]),
    ("tools", [{"type": "file_search", "vector_store_ids": ["v"]}], ["tool file_search"]),
    ("tools", [{"type": "code_interpreter", "container": {"type": "auto"}}], ["tool code_interpreter"]),
    ("tools", [{"type": "mcp", "server_label": "x", "server_url": URL}], ["tool mcp", ADDRESS]),
    ("tools", [{"type": "mcp", "connector_id": "connector_gmail"}], ["tool mcp"]),
    ("tools", [{"type": "namespace", "tools": [{"type": "mcp", "server_url": URL}]}], ["tool mcp", ADDRESS]),
    ("tools", [{"type": "function", "name": "x", "tools": [{"type": "mcp"}]}], ["tool mcp"]),
    ("tools", [{"type": "function", "name": "x", "server_url": URL}], [ADDRESS]),
    ("tools", [{"name": "x"}, {"type": "mcp "}], ["tool ?", "tool ?"]),
    ("tools", [{"type": "shell", "environment": {"type": "local"}}], []),
    ("tools", [{"type": "shell", "environment": {"type": "container_auto"}}], ["tool shell"]),
    ("tools", [{"type": "shell"}], ["tool shell"]),
    ("tools", [{"type": "namespace", "tools": [{"type": "shell"}]}], ["tool shell"]),
    ("tools", [{"type": "function_x"}, {"type": "FUNCTION"}], ["tool function_x", "tool FUNCTION"]),
    ("tools", [{"type": "image_generation", "input_image_mask": {"image_url": URL}}], [ADDRESS]),
    ("prompt", {"id": "pmpt_1"}, ["tool prompt"]),
    ("prompt", None, []),
    ("prompt", {"id": "p", "variables": {"x": {"image_url": URL}}}, ["tool prompt", ADDRESS]),
    ("input", {"role": "user", "content": [{"type": "input_image", "image_url": URL}]}, [ADDRESS]),
    ("input", {"role": "user", "content": [{"type": "input_image", "image_url": INLINE}]}, []),
    (
        "input",
        {"role": "user", "content": [{"type": "input_image", "image_url": f" {INLINE}"}]},
        [f"address  {INLINE}"],
    ),
    ("input", {"role": "user", "content": [{"type": "input_file", "file_url": URL}]}, [ADDRESS]),
    ("input", {"type": "function_call_output", "output": [{"type": "input_image", "image_url": URL}]}, [ADDRESS]),
    ("input", {"type": "computer_call_output", "output": {"image_url": URL}}, [ADDRESS]),
    ("input", {"type": "function_call", "arguments": f'{{"url": "{URL}"}}'}, []),
    ("input", {"type": "web_search_call", "action": {"type": "open_page", "url": URL}}, []),
    ("input", {"role": "assistant", "content": [{"text": "x", "annotations": [{"url": URL}]}]}, []),
    ("input", {"type": "tool_search_output", "tools": [{"type": "mcp", "server_url": URL}]}, ["tool mcp", ADDRESS]),
    ("input", {"type": "additional_tools", "tools": [{"type": "web_search"}]}, ["tool web_search"]),
    ("input", {"type": "mcp_list_tools", "tools": [{"name": "x", "input_schema": SCHEMA}]}, []),
    ("client_metadata", {"remote_url": URL}, []),
    ("text", {"format": {"type": "json_schema", "schema": SCHEMA}}, []),
]

CHAT: list[Case] = [
    ("tools", [{"type": "function", "function": {"name": "fetch", "parameters": SCHEMA}}], []),
    ("tools", [{"type": "function", "function": {"name": "x", "server_url": URL}}], [ADDRESS]),
    ("web_search_options", {}, ["tool web_search_options"]),
    ("search_parameters", {"mode": "auto"}, ["tool search_parameters"]),
    ("plugins", [{"id": "web"}], ["tool plugins"]),
    ("messages", {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}, [ADDRESS]),
    ("messages", {"role": "user", "content": [{"type": "image_url", "image_url": {"url": INLINE}}]}, []),
    ("messages", {"role": "tool", "content": [{"type": "image_url", "image_url": URL}]}, [ADDRESS]),
    ("messages", {"role": "user", "content": [{"type": "video_url", "video_url": {"url": URL}}]}, [ADDRESS]),
    ("messages", {"role": "assistant", "annotations": [{"url_citation": {"url": URL}}]}, []),
]

GEMINI: list[Case] = [
    ("tools", [{"functionDeclarations": [{"name": "x", "parametersJsonSchema": SCHEMA}]}], []),
    ("tools", [{"function_declarations": []}, {"computerUse": {}}], []),
    ("tools", [{"googleSearch": {}}, {"google_search": {}}], ["tool google_search", "tool google_search"]),
    ("tools", [{"functionDeclarations": [], "urlContext": {}}], ["tool url_context"]),
    ("tools", [{"codeExecution": {}}, {"googleMaps": None}], ["tool code_execution", "tool google_maps"]),
    ("tools", {"googleSearchRetrieval": {}}, ["tool google_search_retrieval"]),
    ("tools", [{"mcpServers": [{"streamableHttpTransport": {"url": URL}}]}], ["tool mcp_servers", ADDRESS]),
    ("tools", ["googleSearch"], ["tool ?"]),
    ("cachedContent", "cachedContents/x", ["tool cached_content"]),
    ("contents", {"parts": [{"fileData": {"fileUri": URL, "mimeType": "video/mp4"}}]}, [ADDRESS]),
    ("contents", {"parts": [{"file_data": {"file_uri": URL}}]}, [ADDRESS]),
    ("contents", {"parts": [{"functionCall": {"name": "web_fetch", "args": {"url": URL}}}]}, []),
    ("contents", {"parts": [{"functionResponse": {"name": "x", "response": {"url": URL}}}]}, []),
    (
        "contents",
        {"parts": [{"functionResponse": {"name": "x", "response": {}, "parts": [{"fileData": {"fileUri": URL}}]}}]},
        [ADDRESS],
    ),
    (
        "generateContentRequest",
        {"tools": [{"googleSearch": {}}], "contents": [{"parts": [{"fileData": {"fileUri": URL}}]}]},
        ["tool google_search", ADDRESS],
    ),
    ("generationConfig", {"responseSchema": SCHEMA}, []),
]

CASES = [
    pytest.param(codec, *case, id=f"{type(codec).__name__}-{number}-{case[0]}")
    for codec, cases in (
        (Anthropic(), ANTHROPIC),
        (OpenAIResponses(), RESPONSES),
        (OpenAIChat(), CHAT),
        (Gemini(), GEMINI),
    )
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize(("codec", "label", "value", "expected"), CASES)
def test_what_the_service_is_asked_to_do(codec: Codec, label: str, value: Json, expected: list[str]) -> None:
    assert list(codec.remote(label, value)) == expected


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
labels = st.sampled_from(
    ["tools", "messages", "input", "contents", "mcp_servers", "prompt", "x", "generateContentRequest"]
)


@given(st.sampled_from([Anthropic(), OpenAIResponses(), OpenAIChat(), Gemini()]), labels, json)
def test_any_json_is_read(codec: Codec, label: str, value: Json) -> None:
    assert all(text.startswith(("tool ", "address ")) for text in codec.remote(label, value))


@given(st.lists(st.sampled_from(["content", "source", "parts", "x", "output"]), max_size=6), st.booleans())
def test_an_address_is_found_at_any_depth(path: list[str], listed: bool) -> None:
    value: Json = {"url": URL}
    for key in path:
        value = {key: [value] if listed else value}
    assert list(addresses_in(value)) == [ADDRESS]


@pytest.mark.parametrize("key", ["url", "URL", "image_url", "imageUrl", "file-uri", "fileUris", "server_urls"])
def test_keys_of_addresses(key: str) -> None:
    assert list(addresses_in({key: URL})) == list(addresses_in({key: [URL]})) == [ADDRESS]


@pytest.mark.parametrize("name", ["", "web search", "a" * 101, "x\ny", None, 3, "tool\0"])
def test_a_name_of_another_form_is_none(name: Json) -> None:
    assert tool(name) == "tool ?"
