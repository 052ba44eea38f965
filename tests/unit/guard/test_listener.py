"""What goes wrong on a connection stays out of the job's log."""

from __future__ import annotations

import io
import logging

import pytest
from aiohttp import web

from ciguard.guard.listener import Listener


async def test_what_goes_wrong_on_a_connection_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    printed = io.StringIO()
    job_log = logging.StreamHandler(printed)
    logging.getLogger().addHandler(job_log)
    try:
        connection = Listener(handle, lambda status: web.Response(status=status))()
        connection.log_exception("Unhandled exception", exc_info=ValueError("a secret"))
    finally:
        logging.getLogger().removeHandler(job_log)
    assert printed.getvalue() == ""
    assert capfd.readouterr() == ("", "")
