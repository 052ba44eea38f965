"""The benchmark's own parts: what it sends is new, what it reads is whole, what it reports adds up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest

from scripts.benchmarks.client import Client
from scripts.benchmarks.masking import MaskingCost
from scripts.benchmarks.masking_addon import mask
from scripts.benchmarks.measure import Samples, StreamSamples, delays, quantile
from scripts.benchmarks.payload import growing_conversation, new_prompts, resent_conversation
from scripts.benchmarks.process import cpu_seconds, resident_megabytes, tree
from scripts.benchmarks.systems import DIRECT, GUARD, PASSTHROUGH, ROOT
from scripts.benchmarks.table import Results, tables
from scripts.benchmarks.upstream import EVENTS


@contextmanager
def server(module: str, *arguments: str) -> Iterator[str]:
    """The URL of a benchmark server."""
    command = [sys.executable, "-m", f"scripts.benchmarks.{module}", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def test_a_growing_conversation_resends_all_and_adds_what_is_new() -> None:
    first, second, third = (json.loads(body)["messages"] for body in islice(growing_conversation(10_000), 3))
    assert (second[:1], third[:3]) == (first, second)
    assert (len(first), len(second), len(third)) == (1, 3, 5)
    assert all(9_000 < len(messages[-1]["content"]) <= 10_000 for messages in (first, second, third))
    asked = [set(third[place]["content"].splitlines()[:-1]) for place in (0, 2, 4)]
    assert sum(map(len, asked)) == len(set().union(*asked))


def test_prompts_are_of_their_size_and_new_in_every_line() -> None:
    prompt = new_prompts(20_000)
    first, second = (json.loads(body)["messages"][0]["content"].splitlines() for body in (prompt(), prompt()))
    assert len(json.dumps(first)) == pytest.approx(20_000, rel=0.2)
    assert not set(first[:-1]) & set(second[:-1])


def test_a_resent_conversation_only_grows() -> None:
    requests = resent_conversation(50_000, 1_000)
    first, second, third = (json.loads(body)["messages"] for body in islice(requests(), 3))
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert [message["role"] for message in third] == ["user", "assistant"] * (len(third) // 2) + ["user"]
    assert next(requests()) != json.dumps(first).encode()


@pytest.mark.parametrize("proxied", [False, True])
def test_client_reads_whole_answers_and_streams(proxied: bool) -> None:
    with server("upstream") as upstream, server("passthrough", upstream) as proxy:
        client = Client("it", proxy if proxied else upstream, {})
        for _ in range(2):
            heard = client.ask(new_prompts(300_000)())
            assert (
                json.loads(b"".join(data for _, data in heard.arrivals).partition(b"\r\n\r\n")[2])["type"] == "message"
            )
            stream = client.ask(new_prompts(500, stream=True)())
            body = b"".join(data for _, data in stream.arrivals)
            assert body.count(b"\nevent: ") == EVENTS
            assert stream.first < stream.last
            assert len(list(delays(stream.arrivals))) == EVENTS - 5
        client.close()


def test_client_takes_only_success() -> None:
    with server("passthrough", "http://127.0.0.1:9") as broken:
        client = Client("it", broken, {})
        with pytest.raises(ConnectionError, match=r"it: the answer was .*500 Internal Server Error"):
            client.ask(b"{}")
        client.close()


def test_delays_join_words_that_were_cut() -> None:
    arrivals = [(1_000_000_100, b"x at=10000"), (1_000_000_200, b"00000 y at=1000000100 "), (1_000_000_300, b" at=")]
    assert list(delays(arrivals)) == pytest.approx([2e-7, 1e-7])


def test_a_process_tree_uses_time_and_memory() -> None:
    command = [sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        while len(found := tree(process.pid, frozenset())) < 2:
            assert process.poll() is None
        assert found[0] == process.pid
        assert tree(process.pid, frozenset({found[1]})) == (process.pid,)
        assert cpu_seconds(found) > 0
        assert resident_megabytes(found) > 1
        assert process.stdin is not None
        process.stdin.close()
    own = (os.getpid(),)
    before = cpu_seconds(own)
    burner = threading.Thread(target=lambda: sum(range(300_000)))
    burner.start()
    burner.join()
    assert cpu_seconds(own) > before


def test_the_addon_masks() -> None:
    assert mask(b"key: AKIA0123456789ABCDEF.") == b"key: [masked]."
    assert mask(b"plain words") == b"plain words"


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_quantiles(share: float, expected: float) -> None:
    assert quantile([4, 1, 3, 2], share) == expected


def test_tables_relate_to_direct_and_to_the_bare_proxy() -> None:
    times = {DIRECT.name: 0.001, PASSTHROUGH.name: 0.002, GUARD.name: 0.004}
    samples = {name: Samples([time] * 10, time * 10) for name, time in times.items()}
    streams = {name: StreamSamples([time], [time / 2] * 3, time) for name, time in times.items()}
    megabytes = dict.fromkeys(times, 10.4)
    start_ups = {PASSTHROUGH.name: 0.2, GUARD.name: 0.4}
    masking = MaskingCost(0.002, 0.003, 0.000012, 0.05)
    results = Results(
        {"1 KB": samples}, streams, start_ups, megabytes, megabytes, 1000, 0.45, {"nginx": "install nginx"}, masking
    )
    text = tables(results)
    assert "### 1 KB (10 requests each)" in text
    assert f"| {GUARD.name} | 4.00 | 4.00 | 3.00 | 3.00 | 3.0 | 4.00 |" in text
    assert f"| {PASSTHROUGH.name} | 2.00 | 2.00 | 1.00 | 1.00 | 1.0 | 2.00 |" in text
    assert f"| {GUARD.name} | 3.00 | 1.50 | 1.50 | 8 µs |" in text
    assert f"| {GUARD.name} | 0.40 s | 10 MB | 10 MB |" in text
    assert "| 0.45 s | - | - |" in text
    assert "| ordinary text, 1 MB at once | 500 MB/s |" in text
    assert "| a streamed piece of 20 characters | 12.0 µs |" in text
    assert text.endswith("nginx was not measured: install nginx.")
