"""GitHub's API over PyGithub's requester: credentials, limits and broken answers become values or ForgeTrouble.

Sources: GitHub's "Rate limits for the REST API" (primary limits: ``x-ratelimit-*``; secondary limits: 403 or 429, with
``retry-after`` or not) and "Best practices for using the REST API" (conditional requests: a 304 costs nothing).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from ciguard.forge.answer import Answer, answer_of
from ciguard.forge.thread import ForgeTrouble, Freshness
from ciguard.operation import Json

if TYPE_CHECKING:
    from github.Auth import Auth
    from github.Requester import Requester

WORKERS = 4
"""Requests that may be under way at the same time."""

TIMEOUT = 10
"""Seconds for a connection, and for each piece of an answer."""

WHOLE_TIMEOUT = 60.0
"""Seconds for a whole answer."""

SECONDARY_WAIT = 60.0
"""Seconds to wait at a secondary limit that does not say how long; GitHub asks for at least a minute."""

CLASSIC = "ghp_"
PERSONAL = (CLASSIC, "github_pat_")
"""How personal access tokens begin, the classic ones and all. A job's own lasts with the job, an App's is renewed."""

PAGE = 100
MOST_PAGES = 50
"""A thread with more pages is trouble, never cut short in silence."""


class Tokens(Protocol):
    """Where the token for the API comes from. Both methods are called from several threads."""

    def current(self) -> str:
        """The token to use now; may ask the forge for it first. Raises ForgeTrouble."""

    def refused(self, token: str) -> None:
        """GitHub does not accept ``token`` any more."""


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A token that was given, and is all that there is; see Tokens."""

    token: str = field(repr=False)

    def current(self) -> str:
        """See Tokens."""
        return self.token

    def refused(self, token: str) -> None:
        """There is no other."""


class GitHubApi:
    """The API at ``url`` as whoever ``tokens`` stand for. Every method raises ForgeTrouble.

    ``scopes`` are those of a classic personal access token, None before any answer and of other tokens. ``expires`` is
    when GitHub said that a personal access token ends, None where it did not and of other tokens.
    """

    def __init__(self, url: str, tokens: Tokens) -> None:
        self.expires: datetime | None = None
        self.scopes: frozenset[str] | None = None
        self._url = url.rstrip("/")
        self.tokens = tokens
        self._pool = ThreadPoolExecutor(WORKERS, "github")
        self._local = threading.local()
        self._known: dict[str, Answer] = {}

    def close(self) -> None:
        """Start nothing more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def get(self, path: str) -> Answer:
        """``GET path``, answered anew."""
        return await self._call("GET", path)

    async def send(self, verb: str, path: str, body: Json) -> Answer:
        """``verb path`` with a JSON body."""
        return await self._call(verb, path, body=body)

    async def pages(self, path: str, query: str, freshness: Freshness) -> Sequence[Answer]:
        """Every page of a list.

        A page is the last when it is not full and names no next one: an unchanged page may come without the news that
        another follows it.
        """
        found: list[Answer] = []
        for number in range(1, MOST_PAGES + 1):
            answer = await self._page(f"{path}?per_page={PAGE}&page={number}{query}", freshness)
            if not isinstance(answer.value, list):
                raise ForgeTrouble("GitHub answered with something that is not a list")
            found.append(answer)
            if len(answer.value) < PAGE and not answer.more:
                return found
        raise ForgeTrouble(f"the thread has more than {MOST_PAGES} pages of comments")

    async def graphql(self, query: str, variables: Mapping[str, Json]) -> Answer:
        """The answer to a GraphQL query. What it does not find is null in it, and no trouble."""
        answer = await self._call("POST", "graphql", body={"query": query, "variables": dict(variables)})
        match answer.value:
            case {"data": dict()} if all(_not_found(error) for error in answer.value.get("errors", [])):
                return answer
        raise ForgeTrouble("GitHub did not answer the query about edits")

    async def _page(self, path: str, freshness: Freshness) -> Answer:
        known = self._known.get(path) if freshness is Freshness.UNLESS_UNCHANGED else None
        answer = await self._call("GET", path, known=known)
        self._known[path] = answer
        return answer

    async def _call(self, verb: str, path: str, *, body: Json = None, known: Answer | None = None) -> Answer:
        headers = {"If-None-Match": known.etag} if known and known.etag else {}
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT):
                status, received, text = await loop.run_in_executor(self._pool, self._ask, verb, path, headers, body)
        except TimeoutError:
            raise ForgeTrouble("GitHub takes too long to answer") from None
        if status == 304 and known:
            return known
        if not 200 <= status < 300:
            raise trouble_of(status, received, text)
        return answer_of(text, "GitHub", more='rel="next"' in received.get("link", ""), etag=received.get("etag", ""))

    def _ask(self, verb: str, path: str, headers: dict[str, str], body: Json) -> tuple[int, dict[str, Any], str]:
        token = self.tokens.current()
        requester = self._requester(token)
        url = requester.graphql_url if path == "graphql" else path
        status, received, text = ask(requester, verb, url, headers, body)
        if status == 401:
            self.tokens.refused(token)
        if token.startswith(CLASSIC):
            self.scopes = frozenset(scope.strip() for scope in received.get("x-oauth-scopes", "").split(",")) - {""}
        if token.startswith(PERSONAL):
            self.expires = _expiry(received) or self.expires
        return status, received, text

    def _requester(self, token: str) -> Requester:
        from github import Auth

        if getattr(self._local, "token", None) != token:
            self._local.requester = requester_at(self._url, Auth.Token(token))
            self._local.token = token
        requester: Requester = self._local.requester
        return requester


def requester_at(url: str, auth: Auth) -> Requester:
    """A requester of PyGithub for the API at ``url``. It serves one thread: it keeps its request in itself."""
    from github import Github

    return Github(
        auth=auth,
        base_url=url,
        user_agent="ciguard",
        timeout=TIMEOUT,
        retry=0,
        seconds_between_requests=None,
        seconds_between_writes=None,
    ).requester


def ask(
    requester: Requester, verb: str, url: str, headers: dict[str, str], body: Json
) -> tuple[int, dict[str, Any], str]:
    """Status, headers and text of the answer to one request, whatever they are. Raises ForgeTrouble without one."""
    import requests

    try:
        return requester.requestJson(verb, url, headers=headers, input=body)
    except requests.RequestException as error:
        raise ForgeTrouble(f"GitHub cannot be reached: {type(error).__name__}") from None
    except (RuntimeError, AssertionError):
        # What PyGithub raises when an answer leads to another host or protocol.
        raise ForgeTrouble("GitHub sent the request somewhere else") from None


def _expiry(headers: Mapping[str, str]) -> datetime | None:
    """When the token ends, as GitHub says of personal access tokens: ``2026-12-01 10:00:00 UTC``, or with an offset."""
    given = headers.get("github-authentication-token-expiration", "").replace("UTC", "+0000")
    try:
        return datetime.strptime(given, "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None


def _not_found(error: Any) -> bool:
    return isinstance(error, dict) and error.get("type") == "NOT_FOUND"


def trouble_of(status: int, headers: Mapping[str, str], text: str) -> ForgeTrouble:
    """What an answer that is no success says."""
    wait = _wait(status, headers, text)
    match status:
        case 401:
            why = "GitHub does not accept the token"
        case 403 | 429 if wait:
            why = "GitHub's rate limit is reached"
        case 403:
            why = "the token lacks a permission"
        case 404:
            why = "GitHub has nothing there, or hides it from the token"
        case _ if status >= 500:
            why = "GitHub has trouble of its own"
        case _:
            why = "GitHub refused the request"
    return ForgeTrouble(f"{why} (status {status})", status=status, wait=wait)


def _wait(status: int, headers: Mapping[str, str], text: str) -> float:
    """Seconds that GitHub wants to be left alone for; 0 when no limit is reached."""
    if status not in (403, 429):
        return 0.0
    if (after := headers.get("retry-after", "")).isdecimal():
        return float(after)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        # Counted on GitHub's own clock: this machine's may be off.
        return max(float(reset) - _date(headers), 1.0)
    return SECONDARY_WAIT if status == 429 or "rate limit" in text.lower() else 0.0


def _date(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        raise ForgeTrouble("GitHub's rate limit is reached", wait=SECONDARY_WAIT) from None
