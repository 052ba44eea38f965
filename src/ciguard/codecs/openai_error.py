"""Errors in the form of OpenAI's APIs.

Source: https://platform.openai.com/docs/guides/error-codes.
"""

from __future__ import annotations

from ciguard.codecs.document import dump

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def openai_error(status: int, message: str) -> bytes:
    """The JSON body of an error."""
    type_ = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return dump({"error": {"message": message, "type": type_, "param": None, "code": f"ciguard_{status}"}})
