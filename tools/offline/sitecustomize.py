"""Refuse every network connection except to this machine itself.

Python imports a module of this name at start-up when its folder is on PYTHONPATH. The builder of
the book and the tests put it there, for the kernels that run the chapters and for all their child
processes: a chapter that silently needs the internet fails here, not in a train without Wi-Fi.

The block is an audit hook: it sees connections below the socket module and cannot be taken off.
"""

import ipaddress
import os
import socket
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

LOCAL_NAMES = {None, "", b"", "localhost", "localhost.", "ip6-localhost"}
INTERNET = {socket.AF_INET, socket.AF_INET6}


class NetworkBlocked(OSError):
    """A connection beyond this machine was tried while the network is blocked."""


def is_local(host):
    """Whether a host name or address stands for this machine."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if host in LOCAL_NAMES or host == socket.gethostname():
        return True
    try:
        address = ipaddress.ip_address(str(host).split("%")[0])  # fe80::1%eth0
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address  # ::ffff:127.0.0.1
    return address.is_loopback or address.is_unspecified


def refuse_beyond_loopback(event, args):
    """Audit hook: raise NetworkBlocked for a look-up or connection that leaves the machine."""
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        sock, address = args[:2]
        if sock.family not in INTERNET or not address or is_local(address[0]):
            return
        target = f"{address[0]}:{address[1]}"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if is_local(args[0]):
            return
        target = args[0]
    else:
        return
    raise NetworkBlocked(
        f"network blocked: {target!r} is beyond this machine, and chapters and tests run offline. "
        "Use data that ships with the book, or a server on 127.0.0.1."
    )


def run_shadowed_sitecustomize():
    """Run the sitecustomize that this one hides, if the environment has its own."""
    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [p for p in sys.path if os.path.abspath(p or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if not getattr(sys, "_minildm_offline", False):  # once, however often it is imported
    sys._minildm_offline = True
    sys.addaudithook(refuse_beyond_loopback)
if __name__ == "sitecustomize":
    run_shadowed_sitecustomize()
