from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from ciguard.errors import GuardFailure
from ciguard.guard.egress import session_ca, trust
from ciguard.guard.egress.session_ca import SessionCA
from ciguard.guard.egress.trust import session_trust, trust_bundle
from tests.unit.policy.sources import loaded


def shaken_hands(ca: SessionCA, host: str, name: str) -> str | None:
    """TLS of a client that trusts ``ca`` and asks for ``name`` with a server of ``host``; the protocol agreed on."""
    client_in, client_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cadata=ca.certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    client = trusting.wrap_bio(client_in, client_out, server_hostname=name)
    server = ca.context(host).wrap_bio(client_out, client_in, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.selected_alpn_protocol()


@pytest.mark.parametrize("host", ["a.example", "192.0.2.1", "2001:db8::1", "x" * 60 + ".a-very-long-name.example"])
def test_strict_clients_accept_its_certificates(host: str) -> None:
    assert shaken_hands(SessionCA(), host, host) == "http/1.1"


def test_a_certificate_is_for_its_host_alone() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken_hands(SessionCA(), "a.example", "b.example")


def test_no_key_is_left_in_a_descriptor_or_in_what_is_printed() -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    ca = SessionCA()
    ca.context("a.example")
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert "PRIVATE" not in ca.certificate
    assert "PRIVATE" not in repr(vars(ca))


def test_contexts_are_kept_for_a_bounded_number_of_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_ca, "MOST_HOSTS", 2)
    ca = SessionCA()
    first = ca.context("a.example")
    assert ca.context("a.example") is first
    ca.context("b.example")
    ca.context("c.example")
    assert ca.context("a.example") is not first


def test_the_bundle_holds_the_machines_certificates_and_the_sessions(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("ROOTS\n")
    (tmp_path / "more.pem").write_text("MORE")
    environ = {"SSL_CERT_FILE": str(tmp_path / "roots.pem"), "NODE_EXTRA_CA_CERTS": str(tmp_path / "more.pem")}
    assert trust_bundle(environ, "SESSION\n") == "SESSION\nROOTS\nMORE\n"


def test_a_machine_without_certificates_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GuardFailure, match="cannot be read"):
        trust_bundle({"SSL_CERT_FILE": str(tmp_path / "none.pem")}, "x")
    monkeypatch.setattr(trust, "SYSTEM_BUNDLES", ())
    with pytest.raises(GuardFailure, match="no file of trusted certificates"):
        trust_bundle({}, "x")


def test_the_agent_trusts_a_session_only_where_hosts_are_inspected(tmp_path: Path) -> None:
    assert session_trust(loaded("egress: {allow: [a.example]}").egress, {}, tmp_path) == (None, {})
    (tmp_path / "roots.pem").write_text("ROOTS")
    environ = {"SSL_CERT_FILE": str(tmp_path / "roots.pem")}
    egress = loaded("egress: {allow: [{host: a.example, inspect: true}]}").egress
    ca, variables = session_trust(egress, environ, tmp_path)
    assert ca is not None
    assert set(variables.values()) == {str(tmp_path / "certificates.pem")}
    assert Path(variables["SSL_CERT_FILE"]).read_text() == f"{ca.certificate}ROOTS\n"
