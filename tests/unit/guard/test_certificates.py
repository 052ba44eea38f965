from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from ciguard.guard.certificates import trusted, unread
from ciguard.guard.egress.session_ca import SessionCA


@pytest.mark.parametrize("given", [{}, {"SSL_CERT_FILE": "/some/roots.pem"}])
def test_nothing_is_read_meanwhile_and_everything_is_as_it_was_afterwards(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with unread():
        assert ssl.create_default_context().get_ca_certs() == []
    assert dict(os.environ) == before


def test_what_the_environment_names_is_trusted_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roots.pem").write_text(SessionCA().certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    trusted.cache_clear()
    try:
        context = trusted()
    finally:
        trusted.cache_clear()
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
