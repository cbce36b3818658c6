"""From a host's address to what a socket connects to.

IP addresses and Unix sockets cost nothing; names are looked up and kept for a short while, so that
a slow name service does not slow every login.
"""

import ipaddress
import socket

import trio

from pywire.relay.port import SocketAddress
from pywire.session.host import HostAddress

NAME_SECONDS_MAX = 5.0


class Resolver:
    """Looks addresses up."""

    def __init__(self) -> None:
        self._fixed: dict[HostAddress, SocketAddress] = {}
        self._named: dict[HostAddress, tuple[float, list[SocketAddress]]] = {}

    def known(self, address: HostAddress) -> SocketAddress | None:
        """Return the only address to try, if nobody has to be asked for it."""
        known = self._fixed.get(address)
        if known is None and (known := _direct(address)) is not None:
            self._fixed[address] = known
        return known

    async def resolve(self, address: HostAddress) -> list[SocketAddress]:
        """Return every address to try, best first; raises OSError when the name is not known."""
        if (direct := self.known(address)) is not None:
            return [direct]
        named = self._named.get(address)
        if named is not None and trio.current_time() - named[0] < NAME_SECONDS_MAX:
            return named[1]
        found = await trio.socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        addresses = [SocketAddress(int(entry[0]), entry[4]) for entry in found]  # type: ignore[arg-type]
        self._named[address] = (trio.current_time(), addresses)
        return addresses


def _direct(address: HostAddress) -> SocketAddress | None:
    if address.unix_path is not None:
        return SocketAddress(socket.AF_UNIX, address.unix_path)
    try:
        version = ipaddress.ip_address(address.host).version
    except ValueError:
        return None
    if version == 4:
        return SocketAddress(socket.AF_INET, (address.host, address.port))
    return SocketAddress(socket.AF_INET6, (address.host, address.port, 0, 0))
