"""The system call filter: what it answers by table, and that the kernel takes it and does what it says."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciguard.errors import IsolationUnavailable
from ciguard.sandbox import seccomp
from ciguard.sandbox.seccomp import ABSENT, CALLS, REFUSED, Machine, Network, Supervised, program

ALLOW, NOTIFY, KILL = "allow", "notify", "kill"
EVERYTHING = frozenset(Supervised)


def answer(code: bytes, on: Machine, nr: int, *arguments: int, audit: int | None = None) -> str | int:
    """What the filter says: a word, or the errno. Runs the program as the kernel's interpreter would."""
    data = struct.pack("=IIQ", nr & 0xFFFFFFFF, on.value[0] if audit is None else audit, 0)
    data += struct.pack("=6Q", *(value & (2**64 - 1) for value in (*arguments, 0, 0, 0, 0, 0, 0)[:6]))
    steps = list(struct.iter_unpack("=HBBI", code))
    place = accumulator = 0
    while True:
        operation, if_true, if_false, operand = steps[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x25:
                place += if_true if accumulator > operand else if_false
            case 0x45:
                place += if_true if accumulator & operand else if_false
            case 0x06:
                return _verdict(operand)
            case _:
                raise AssertionError(hex(operation))


def _verdict(returned: int) -> str | int:
    if returned & 0xFFFF0000 == 0x00050000:
        return returned & 0xFFFF
    return {0x7FFF0000: ALLOW, 0x7FC00000: NOTIFY, 0x80000000: KILL}[returned]


def call(name: str, on: Machine) -> int:
    found = CALLS[name][on.value[1]]
    assert found is not None
    return found


@pytest.mark.parametrize("on", Machine)
@pytest.mark.parametrize("network", Network)
class TestProgram:
    def test_calls_of_another_architecture_kill(self, on: Machine, network: Network) -> None:
        for audit in (0x40000003, 0x40000028, 0, *(other.value[0] for other in Machine if other is not on)):
            assert answer(program(network, EVERYTHING, on), on, 59, audit=audit) == KILL

    def test_numbers_that_are_not_known_do_not_exist(self, on: Machine, network: Network) -> None:
        code = program(network, EVERYTHING, on)
        x32 = 0x40000000
        for nr in (seccomp.NEWEST + 1, x32, x32 + 59, x32 + 520, 2**31, 2**32 - 1):
            assert answer(code, on, nr) == errno.ENOSYS

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_is_refused_fails(self, on: Machine, network: Network, name: str) -> None:
        nr = CALLS[name][on.value[1]]
        if nr is not None:
            assert answer(program(network, EVERYTHING, on), on, nr, 1, 2, 3) == errno.EPERM

    @pytest.mark.parametrize("name", ABSENT)
    def test_what_has_its_arguments_in_memory_does_not_exist(self, on: Machine, network: Network, name: str) -> None:
        assert answer(program(network, EVERYTHING, on), on, call(name, on)) == errno.ENOSYS

    def test_only_what_is_supervised_waits(self, on: Machine, network: Network) -> None:
        cases = {
            frozenset[Supervised](): set[str](),
            frozenset({Supervised.COMMANDS}): {"execve", "execveat"},
            frozenset({Supervised.CONNECTIONS}): {"connect"},
            EVERYTHING: {"execve", "execveat", "connect"},
        }
        for supervised, expected in cases.items():
            code = program(network, supervised, on)
            waiting = {name for name in CALLS if CALLS[name][on.value[1]] is not None
                       and answer(code, on, call(name, on)) == NOTIFY}  # fmt: skip
            assert waiting == expected

    @pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
    def test_no_new_namespaces(self, on: Machine, network: Network, flag: int) -> None:
        code = program(network, (), on)
        assert answer(code, on, call("clone", on), flag | signal.SIGCHLD) == errno.EPERM

    def test_processes_and_threads_are_made(self, on: Machine, network: Network) -> None:
        code = program(network, (), on)
        for flags in (signal.SIGCHLD, 0x4111, 0x1200011, 0x3D0F00):
            assert answer(code, on, call("clone", on), flags) == ALLOW

    @pytest.mark.parametrize("family", [socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK, 38, 29, 0, 45])
    def test_other_families_are_refused(self, on: Machine, network: Network, family: int) -> None:
        code = program(network, (), on)
        assert answer(code, on, call("socket", on), family, socket.SOCK_STREAM) == errno.EAFNOSUPPORT

    def test_streams_are_allowed(self, on: Machine, network: Network) -> None:
        code = program(network, (), on)
        for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
            kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            assert answer(code, on, call("socket", on), family, kind) == ALLOW
            assert answer(code, on, call("socket", on), family, kind, socket.IPPROTO_TCP) == ALLOW

    def test_what_is_typed_into_a_terminal_comes_from_its_user(self, on: Machine, network: Network) -> None:
        code = program(network, (), on)
        assert answer(code, on, call("ioctl", on), 0, 0x5412) == errno.EPERM
        assert answer(code, on, call("ioctl", on), 0, 0x541C) == errno.EPERM
        assert answer(code, on, call("ioctl", on), 0, 0x5401) == ALLOW

    def test_no_connection_is_made_by_sending(self, on: Machine, network: Network) -> None:
        code = program(network, (), on)
        flag = 0x20000000
        assert answer(code, on, call("sendto", on), 3, 0, 0, flag | 0x4000) == errno.EOPNOTSUPP
        assert answer(code, on, call("sendmsg", on), 3, 0, flag) == errno.EOPNOTSUPP
        assert answer(code, on, call("sendmmsg", on), 3, 0, 1, flag) == errno.EOPNOTSUPP
        assert answer(code, on, call("sendto", on), 3, 0, 0, 0x4000) == ALLOW

    @given(nr=st.integers(0, 2**32 - 1), arguments=st.lists(st.integers(0, 2**64 - 1), max_size=6))
    def test_every_call_has_an_answer(self, on: Machine, network: Network, nr: int, arguments: list[int]) -> None:
        assert answer(program(network, EVERYTHING, on), on, nr, *arguments) is not None


@pytest.mark.parametrize("on", Machine)
@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (socket.AF_INET, socket.SOCK_DGRAM, 0),
        (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
        (socket.AF_INET, socket.SOCK_STREAM, 262),  # MPTCP
        (socket.AF_INET, socket.SOCK_STREAM, 132),  # SCTP
        (socket.AF_INET, socket.SOCK_SEQPACKET, 132),
        (socket.AF_UNIX, socket.SOCK_DGRAM, 0),
    ],
)
def test_on_a_shared_network_only_tcp_and_unix_streams(on: Machine, family: int, kind: int, protocol: int) -> None:
    shared, own = (program(network, (), on) for network in (Network.SHARED, Network.OWN))
    assert answer(shared, on, call("socket", on), family, kind, protocol) == errno.EPROTONOSUPPORT
    assert answer(own, on, call("socket", on), family, kind, protocol) == ALLOW


def test_a_machine_without_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: os.uname_result(("Linux", "here", "6.18", "#1", "riscv64")))
    with pytest.raises(IsolationUnavailable, match="riscv64"):
        program(Network.OWN)


def in_filter(body: str) -> subprocess.CompletedProcess[str]:
    """Run Python statements in a process behind the filter of a shared network."""
    script = (
        "import os, socket, ctypes, errno\n"
        "from ciguard.sandbox.seccomp import *\n"
        f"load(program(Network.SHARED), supervised=False)\n{body}"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_the_kernel_does_what_the_filter_says() -> None:
    done = in_filter("""
def fails(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
libc = ctypes.CDLL(None, use_errno=True)
print(fails(socket.socket, socket.AF_INET, socket.SOCK_DGRAM), fails(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
      fails(socket.socket, socket.AF_INET, socket.SOCK_STREAM), fails(os.chroot, "/"),
      libc.unshare(0x10000000), ctypes.get_errno() == errno.EPERM, libc.ptrace(0, 0, 0, 0),
      open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0])
os.waitpid(os.spawnlp(os.P_NOWAIT, "true", "true"), 0)
""")
    assert done.stdout.split() == ["EPROTONOSUPPORT", "EAFNOSUPPORT", "None", "EPERM", "-1", "True", "-1", "1"]
    assert done.returncode == 0, done.stderr


def test_a_supervised_call_without_supervisor_fails() -> None:
    script = """
import os
from ciguard.sandbox.seccomp import *
os.close(load(program(Network.OWN, {Supervised.COMMANDS}), supervised=True))
try:
    os.execv("/bin/true", ["true"])
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == [str(errno.ENOSYS)], done.stderr


def test_the_listener_is_not_inherited() -> None:
    read, write = os.pipe()
    script = f"""
import os, socket
from ciguard.sandbox.seccomp import *
listener = load(program(Network.OWN, {{Supervised.CONNECTIONS}}), supervised=True)
os.write({write}, str(os.get_inheritable(listener)).encode())
"""
    subprocess.run([sys.executable, "-c", script], pass_fds=(write,), check=True)
    assert os.read(read, 10) == b"False"
    os.close(read)
    os.close(write)
