"""GitLab's API through python-gitlab: credentials, limits and broken answers become values or ForgeTrouble.

Sources: GitLab's "REST API" (pages, ``x-next-page``), "Rate limits" (429 with ``retry-after`` and ``ratelimit-reset``),
"GraphQL API". What did not change costs as much there as what did: GitLab counts every request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ciguard.forge.answer import Answer, answer_of
from ciguard.forge.thread import ForgeTrouble
from ciguard.operation import Json

if TYPE_CHECKING:
    import gitlab
    import requests

WORKERS = 4
"""Requests that may be under way at the same time."""

TIMEOUT = 10
"""Seconds for a connection, and for each piece of an answer."""

WHOLE_TIMEOUT = 60.0
"""Seconds for a whole answer."""

LIMIT_WAIT = 60.0
"""Seconds to wait at a rate limit that does not say how long."""

PAGE = 100
MOST_PAGES = 50
"""A thread with more pages is trouble, never cut short in silence."""


class GitLabApi:
    """The API of the GitLab at ``server`` as whoever ``token`` stands for. Every method raises ForgeTrouble."""

    def __init__(self, server: str, token: str) -> None:
        self._server = server.rstrip("/")
        self._token = token
        self._pool = ThreadPoolExecutor(WORKERS, "gitlab")
        self._local = threading.local()

    def close(self) -> None:
        """Start nothing more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """``GET path``."""
        return await self._call("get", path, dict(query or {}), None)

    async def send(self, verb: str, path: str, body: Mapping[str, Json]) -> Answer:
        """``verb path`` with a JSON body."""
        return await self._call(verb, path, {}, dict(body))

    async def pages(self, path: str, query: Mapping[str, str]) -> Sequence[Answer]:
        """Every page of a list."""
        found: list[Answer] = []
        for number in range(1, MOST_PAGES + 1):
            answer = await self.get(path, {**query, "per_page": str(PAGE), "page": str(number)})
            if not isinstance(answer.value, list):
                raise ForgeTrouble("GitLab answered with something that is not a list")
            found.append(answer)
            if len(answer.value) < PAGE and not answer.more:
                return found
        raise ForgeTrouble(f"there are more than {MOST_PAGES} pages")

    async def graphql(self, query: str) -> Mapping[str, Any]:
        """The data that answers a GraphQL query. What it does not find is null in it, and no trouble."""
        answer = await self._call("post", f"{self._server}/api/graphql", {}, {"query": query})
        match answer.value:
            case {"data": dict(data), **others} if not others.get("errors"):
                return {**data, "digest": answer.digest}
        # A field that this GitLab does not have: asking again changes nothing.
        raise ForgeTrouble("GitLab did not answer the query about edits", status=422)

    async def _call(self, verb: str, path: str, query: dict[str, str], body: dict[str, Json] | None) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT):
                response = await loop.run_in_executor(self._pool, self._ask, verb, path, query, body)
        except TimeoutError:
            raise ForgeTrouble("GitLab takes too long to answer") from None
        if not 200 <= response.status_code < 300:
            raise _trouble(response)
        return answer_of(response.text, "GitLab", more=bool(response.headers.get("x-next-page")))

    def _ask(self, verb: str, path: str, query: dict[str, str], body: dict[str, Json] | None) -> requests.Response:
        import gitlab
        import requests

        client = self._client()
        try:
            # Its errors do not carry the headers that say how long to wait: the answer is kept aside.
            with suppress(gitlab.GitlabHttpError, gitlab.GitlabAuthenticationError):
                client.http_request(verb, path, query_data=query, post_data=body, obey_rate_limit=False)
        except requests.TooManyRedirects:
            raise ForgeTrouble("GitLab sent the request somewhere else") from None
        except requests.RequestException as error:
            raise ForgeTrouble(f"GitLab cannot be reached: {type(error).__name__}") from None
        answered: requests.Response = self._local.answered
        return answered

    def _client(self) -> gitlab.Gitlab:
        import gitlab
        import requests

        if not hasattr(self._local, "client"):
            session = requests.Session()
            # The token must not follow a redirect to another host.
            session.max_redirects = 0
            session.hooks["response"].append(self._keep)
            self._local.client = gitlab.Gitlab(
                self._server,
                private_token=self._token,
                user_agent="ciguard",
                timeout=TIMEOUT,
                session=session,
                keep_base_url=True,
            )
        client: gitlab.Gitlab = self._local.client
        return client

    def _keep(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._local.answered = response


def _trouble(response: requests.Response) -> ForgeTrouble:
    status, wait = response.status_code, 0.0
    match status:
        case 401:
            why = "GitLab does not accept the token"
        case 403:
            why = "the token lacks a permission or a scope"
        case 404:
            why = "GitLab has nothing there, or hides it from the token"
        case 429:
            why, wait = "GitLab's rate limit is reached", _wait(response.headers)
        case _ if status >= 500:
            why = "GitLab has trouble of its own"
        case _:
            why = "GitLab refused the request"
    return ForgeTrouble(f"{why} (status {status})", status=status, wait=wait)


def _wait(headers: Mapping[str, str]) -> float:
    """Seconds that GitLab wants to be left alone for."""
    after = headers.get("retry-after", "")
    return max(float(after), 1.0) if after.isascii() and after.isdecimal() else LIMIT_WAIT
