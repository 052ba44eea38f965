from __future__ import annotations

import json
import urllib.error
import urllib.request

import jwt
import pytest

from ciguard.testing.issuer import DISCOVERY, KEYS, Answer, Issuer, json_answer


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_what_it_signs_its_published_keys_verify(algorithm: str) -> None:
    with Issuer() as issuer:
        description = json.loads(get(issuer.url + DISCOVERY)[1])
        token = issuer.mint({"repository": "acme/shop"}, audience="urn:x", algorithm=algorithm)
        key = jwt.PyJWKClient(description["jwks_uri"]).get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=[algorithm], audience="urn:x", issuer=issuer.url)
    assert description["issuer"] == issuer.url
    assert claims["repository"] == "acme/shop"
    assert claims["exp"] - claims["iat"] == 300


def test_private_keys_are_not_published() -> None:
    published = Issuer().keys()["keys"]
    assert isinstance(published, list)
    assert len(published) == 2
    for key in published:
        assert isinstance(key, dict)
        assert {"d", "p", "q", "dp", "dq", "qi"}.isdisjoint(key)


def test_claims_and_header_may_be_overruled() -> None:
    with Issuer() as issuer:
        token = issuer.mint({"iss": "https://id.example.com", "exp": 1}, header={"kid": "other"})
    assert jwt.get_unverified_header(token)["kid"] == "other"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == "https://id.example.com"
    assert claims["exp"] == 1


def test_a_rotation_withdraws_the_old_keys() -> None:
    issuer = Issuer()
    before = issuer.keys()
    issuer.rotate()
    assert issuer.keys() != before
    assert "rsa-1" not in json.dumps(issuer.keys())


def test_routes_can_be_added_and_replaced_and_requests_are_kept() -> None:
    with Issuer() as issuer:
        issuer.routes["/x"] = lambda request: json_answer(request.query["y"][0])
        issuer.routes[KEYS] = lambda _: Answer(b"down", 503)
        assert get(f"{issuer.url}/x?y=1") == (200, b'"1"')
        assert get(issuer.url + KEYS) == (503, b"down")
        assert get(f"{issuer.url}/nothing")[0] == 404
        assert [request.path for request in issuer.requests] == ["/x", KEYS, "/nothing"]


def test_it_stops_when_it_is_left() -> None:
    with Issuer() as issuer:
        url = issuer.url
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url + DISCOVERY, timeout=5)
