"""Connections say nothing to the job's log; what they refuse is tested through the server."""

from __future__ import annotations

import pytest
from aiohttp import web

from ciguard.guard.listener import Listener


async def test_what_goes_wrong_on_a_connection_is_not_printed(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    connection = Listener(handle, lambda status: web.Response(status=status))()
    connection.log_exception("Unhandled exception", exc_info=ValueError("a secret"))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
