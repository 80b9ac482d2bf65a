"""What a process gives away before it reads a file it does not trust: the network, other programs, memory.

Two walls, each tried: a user and network namespace of its own, in which there is no interface but a
loopback that is down; and a seccomp filter under which sockets, programs, tracing and io_uring
do not exist. One of them must hold.

Sources: namespaces(7), user_namespaces(7); Linux kernel documentation, "Seccomp BPF".
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from dataclasses import dataclass
from typing import Final

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_KILL: Final = 0x80000000
_X32_BIT: Final = 0x40000000
# socket, socketpair, connect, bind, accept, accept4, sendto, sendmsg, execve, execveat, ptrace,
# process_vm_readv, process_vm_writev, io_uring_setup, bpf, unshare, setns, mount
_FORBIDDEN: Final = {
    "x86_64": (
        0xC000003E,
        (41, 53, 42, 49, 43, 288, 44, 46, 59, 322, 101, 310, 311, 425, 321, 272, 308, 165),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 199, 203, 200, 202, 242, 206, 211, 221, 281, 117, 270, 271, 425, 280, 97, 268, 40),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one trial may use."""

    memory_bytes: int = 3 * 1024**3  # address space: libraries alone reserve about one GiB
    cpu_s: int = 30
    file_bytes: int = 512 * 1024**2
    open_files: int = 128
    deadline_s: float = 60.0


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def confine(limits: Limits) -> str:
    """Give away what is not needed, for good; returns the walls against the network that hold.

    Must be called while the process has one thread.

    Raises:
        OSError: No wall against the network can be put up here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    walls = []
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        walls.append("namespace")
    if _filter_calls(libc):
        walls.append("seccomp")
    if not walls:
        raise OSError(
            errno.EPERM, "neither a network namespace nor a seccomp filter is permitted to this process"
        )
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.open_files)
    _limit(resource.RLIMIT_CORE, 0)
    os.umask(0o077)
    return "+".join(walls)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bounded, bounded))


def _filter_calls(libc: ctypes.CDLL) -> bool:
    known = _FORBIDDEN.get(platform.machine())
    if known is None:
        return False
    code = _bpf(*known)
    program = _Program(length=len(code) // 8, filter=code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _bpf(architecture: int, calls: tuple[int, ...]) -> bytes:
    """A classic BPF program over `struct seccomp_data`: number at offset 0, architecture at 4."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    steps = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (give, 0, 0, _KILL),
        (load, 0, 0, 0),
        (at_least, len(calls) + 1, 0, _X32_BIT),
        *((equal, len(calls) - at, 0, call) for at, call in enumerate(calls)),
        (give, 0, 0, _ALLOW),
        (give, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
