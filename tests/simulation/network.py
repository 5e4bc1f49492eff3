"""The network of a `VirtualLoop`: connections between tasks on the loop, and the faults of these connections.

A connection is two ordered byte streams. Each written chunk arrives after a latency. A link may be slow, its chunks may
be split and joined at random, and a connection may be reset, stall for a while, or fall silent permanently while both
sides believe it to be open. The transports behave like asyncio's: a writer is paused when its peer does not read,
`close` sends the data already written, and the response to data for a closed connection is a reset.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.loop import Process, VirtualLoop

#: bytes that the system accepts from a writer whose peer does not read
_SYSTEM_BUFFER = 256 * 1024
#: as in asyncio, a writer is paused above the first limit and resumes below the second
_HIGH_WATER, _LOW_WATER = 64 * 1024, 16 * 1024
_FIRST_PORT = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The properties of a link that carries a connection's bytes. Latencies are drawn uniformly between two bounds in
    seconds.
    """

    latency_s: tuple[float, float] = (0.0001, 0.0001)
    #: fraction of chunks that arrive in two parts, with the second part arriving later
    cut: float = 0.0
    #: fraction of chunks that are late, and the maximum delay in seconds
    late: float = 0.0
    late_s: float = 0.0


class Network:
    """All listeners by address, and all open connections."""

    def __init__(self, loop: VirtualLoop, seed: int | None) -> None:
        self.loop = loop
        self.chance = Random(f"network {seed}")
        #: the default link for new connections, and overrides by port
        self.link = Link() if seed is None else Link(latency_s=(0.00005, 0.002), cut=0.05, late=0.02, late_s=0.05)
        self.links: dict[int, Link] = {}
        self.names = {"localhost": "127.0.0.1"}
        #: unreachable ports: new connections to them wait, and open connections fall silent
        self.unreachable: set[int] = set()
        #: called with every new connection, before its first byte
        self.on_connect: list[Callable[[Connection], None]] = []
        self.connections: dict[int, Connection] = {}
        self.made = 0
        self._servers: dict[tuple[str, int], Server] = {}
        self._last_port = _FIRST_PORT

    # -- names and ports ------------------------------------------------------------------------------------------

    def getaddrinfo(self, host: Any, port: Any) -> list[Any]:
        """Resolve a host as the loop's method does. Raises socket.gaierror for a name that is not in `names`."""
        name = host.decode() if isinstance(host, bytes) else (host or "0.0.0.0")
        numeric = self.names.get(name, name)
        try:
            socket.inet_aton(numeric)
        except OSError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (numeric, int(port or 0)))]

    def _address(self, host: Any, port: Any) -> tuple[str, int]:
        if isinstance(host, str) and host.startswith("unix:"):
            return host, 0
        address = self.getaddrinfo("127.0.0.1" if host in (None, "", "0.0.0.0") else host, port)[0][4]
        return str(address[0]), int(address[1])

    def _free_port(self, host: str) -> int:
        while True:
            self._last_port += 1
            if (host, self._last_port) not in self._servers:
                return self._last_port

    # -- servers --------------------------------------------------------------------------------------------------

    async def create_server(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        host: Any,
        port: Any,
        *,
        start_serving: bool = True,
        **options: Any,
    ) -> Server:
        """Create a server as the loop's method does. Raises OSError if the address is in use, and NotImplementedError
        for TLS.
        """
        if options.get("ssl"):
            raise NotImplementedError("the network of the simulation knows no TLS")
        name, number = self._address(host, port)
        if not name.startswith("unix:"):
            number = number or self._free_port(name)
        if (name, number) in self._servers:
            text = f"error while attempting to bind on address {(name, number)!r}: address already in use"
            raise OSError(errno.EADDRINUSE, text)
        server = Server(self, (name, number), factory, is_serving=start_serving)
        self._servers[name, number] = server
        return server

    # -- connections ----------------------------------------------------------------------------------------------

    async def dial(self, host: Any, port: Any) -> Dialled:
        """Connect to the server at an address. Raises OSError if there is none. Waits forever if the port is
        unreachable.
        """
        from tests.simulation.loop import PROCESS

        address = self._address(host, port)
        await self._pass(address)
        server = self._servers.get(address)
        if server is None or not server.is_serving():
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address!r}")
        connection = Connection(self, server, PROCESS.get())
        for listener in self.on_connect:
            listener(connection)
        connection.server.connect(server.factory, server.context)
        await self._pass(address)
        return Dialled(connection)

    async def _pass(self, address: tuple[str, int]) -> None:
        await asyncio.sleep(self.latency_s(self.links.get(address[1], self.link)))
        while address[1] in self.unreachable:
            await asyncio.sleep(0.2)

    async def create_connection(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        sock: Any = None,
        **options: Any,
    ) -> tuple[Transport, asyncio.BaseProtocol]:
        """Connect as the loop's method does. ``sock`` is the return value of an earlier call to `dial`."""
        if options.get("ssl"):
            raise NotImplementedError("the network of the simulation knows no TLS")
        dialled = await self.dial(host, port) if sock is None else sock
        side = dialled.connection.client
        side.connect(factory, contextvars.copy_context())
        protocol = side.protocol
        if protocol is None:
            raise ConnectionResetError(errno.ECONNRESET, "the connection was reset while it was being made")
        loop = asyncio.get_running_loop()
        begun = loop.create_future()
        # after `connection_made`, as asyncio guarantees; a request that is cancelled by then no longer waits
        loop.call_soon(lambda: begun.cancelled() or begun.set_result(None))
        await begun
        return side, protocol

    def latency_s(self, link: Link) -> float:
        """Return a new random latency for a link."""
        low, high = link.latency_s
        latency = low if low == high else self.chance.uniform(low, high)
        if link.late and self.chance.random() < link.late:
            latency += self.chance.uniform(0.0, link.late_s)
        return latency

    def kill(self, process: Process, *, silently: bool) -> None:
        """Close a process's connections and servers as the system does when the process exits."""
        for server in [server for server in self._servers.values() if server.process is process]:
            server.close()
        for connection in list(self.connections.values()):
            for side in connection.sides:
                if side.process is process:
                    side.die(silently=silently)

    def read_on(self, process: Process) -> None:
        """Read the data that arrived for a process during its suspension."""
        for connection in self.connections.values():
            for side in connection.sides:
                if side.process is process and side.unread:
                    side._soon_read()

    def cut(self, port: int) -> None:
        """Stop all traffic to and from a port."""
        self.unreachable.add(port)
        for connection in self.connections.values():
            if connection.port == port:
                connection.stall()

    def mend(self, port: int) -> None:
        """Restore all traffic to and from a port. Data that was held back arrives now."""
        self.unreachable.discard(port)
        for connection in self.connections.values():
            if connection.port == port:
                connection.go_on()


class Dialled:
    """A connection whose client has no transport yet. It replaces a connected socket."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        """Close the connection."""
        self.connection.client.abort()


class Connection:
    """The two sides of a connection and its link."""

    def __init__(self, network: Network, server: Server, process: Process | None) -> None:
        network.made += 1
        self.network = network
        self.number = network.made
        self.port = server.address[1]
        self.link = network.links.get(self.port, network.link)
        own = ("127.0.0.1", 50_000 + self.number % 10_000)
        self.client = Transport(self, "client", own, server.address, process)
        self.server = Transport(self, "server", server.address, own, server.process)
        self.client.peer, self.server.peer = self.server, self.client
        self.sides = (self.client, self.server)
        self.server.owner = server
        server.transports[self.number] = self.server
        network.connections[self.number] = self

    def slow(self, **changes: Any) -> None:
        """Change link properties (fields of `Link`) for data that this connection carries from now on."""
        self.link = replace(self.link, **changes)

    def stall(self, side: str | None = None) -> None:
        """Hold back all data that ``side`` ("client", "server", or None for both) sends, including the close, until
        `go_on` is called.

        Both sides assume that the connection is open, so it is half-open unless `go_on` is called.
        """
        for transport in self.sides:
            if side is None or transport.name == side:
                transport.is_held = True

    def go_on(self) -> None:
        """End a `stall`. Data that was held back arrives."""
        for transport in self.sides:
            transport.is_held = False
            transport.carry()

    def reset(self) -> None:
        """Notify both sides that the connection has been lost. Data in transit is lost."""
        self.network.loop.note(f"reset {self.number}")
        for transport in self.sides:
            transport.in_flight.clear()
        for transport in self.sides:
            transport.lose(_reset_error())


def _reset_error() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


_END, _RESET = object(), object()


class Transport(asyncio.Transport):
    """One side of a connection."""

    def __init__(
        self, connection: Connection, name: str, own: tuple[str, int], other: tuple[str, int], process: Process | None
    ) -> None:
        super().__init__()
        self.connection = connection
        self.name = name
        self.process = process
        self.peer: Transport = self
        self.owner: Server | None = None
        self.protocol: asyncio.BaseProtocol | None = None
        #: data written on this side but not yet received by the peer, with the arrival time
        self.in_flight: deque[tuple[float, Any]] = deque()
        #: data that has arrived but has not been read, because the protocol has paused reading or there is no protocol
        #: yet
        self.unread: deque[Any] = deque()
        self.is_held = False
        #: True once this side's machine is gone: data already sent still arrives, but there are no more responses
        self.is_cut_off = False
        self._names = {"sockname": own, "peername": other}
        self._loop = connection.network.loop
        self._context: contextvars.Context | None = None
        self._carrying: asyncio.TimerHandle | None = None
        self._last_at = 0.0
        self._unread_bytes = 0  # bytes written on this side and not yet read by the peer
        self._high, self._low = _HIGH_WATER, _LOW_WATER
        self._is_paused = False  # True while the protocol has paused reading
        self._writer_is_paused = False
        self._will_read = False
        self._is_closing = False
        self._has_ended = False  # True once this side has stopped writing
        self._is_lost = False

    def __repr__(self) -> str:
        return f"<{self.name} of connection {self.connection.number} to port {self.connection.port}>"

    def connect(self, factory: Callable[[], asyncio.BaseProtocol], context: contextvars.Context) -> None:
        """Attach a protocol to this side. The protocol is notified in the next iteration of the loop."""
        if self._is_lost:
            return
        self._context = context
        self.protocol = context.run(factory) if self.name == "server" else factory()
        self._soon(self._begin)

    def _begin(self) -> None:
        if self.protocol is None or self._is_lost:  # reset before its protocol was told of it
            return
        self.protocol.connection_made(self)
        self._read()

    def _soon(self, call: Callable[..., None], *args: Any) -> None:
        self._loop.call_soon(call, *args, context=self._context)

    # -- asyncio.BaseTransport ------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``peername`` or ``sockname``. There is no socket to return."""
        return self._names.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        assert self.protocol is not None
        return self.protocol

    def is_closing(self) -> bool:
        """Return whether this side is closed or closing."""
        return self._is_closing

    def close(self) -> None:
        """Send the data already written, then signal the end of the stream."""
        if self._is_closing:
            return
        self._is_closing = True
        self._end()
        self._soon(self._lost, None)

    def abort(self) -> None:
        """Close immediately. The system still sends the data it has, but unread incoming bytes turn the close into a
        reset, as in TCP.
        """
        if self._is_lost:
            return
        self._is_closing = True
        if self.unread:
            self.in_flight.clear()
            self._send(_RESET)
        else:
            self._end()
        self._soon(self._lost, None)

    # -- reading --------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Return whether incoming data is passed to the protocol."""
        return not self._is_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Stop passing incoming data to the protocol."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Pass incoming data to the protocol again."""
        if self._is_paused:
            self._is_paused = False
            self._soon_read()

    def _read(self) -> None:
        """Pass on one chunk. A real loop also reads a socket once per iteration, so waiting tasks may run before the
        next chunk is read.
        """
        if self._is_paused or self._is_lost or self.protocol is None or not self.unread:
            return
        what = self.unread.popleft()
        if what is _RESET:
            self.lose(_reset_error())
            return
        if what is _END:
            stays = self.protocol.eof_received()  # type: ignore[attr-defined]
            if not stays:
                self.close()
            return
        pieces = [what]
        while self.unread and isinstance(self.unread[0], bytes):
            pieces.append(self.unread.popleft())
        content = b"".join(pieces)
        self.peer._unread_bytes -= len(content)
        self.peer._consider_writing()
        if not self._is_closing:
            self.protocol.data_received(content)  # type: ignore[attr-defined]
        if self.unread:
            self._soon_read()

    def _soon_read(self) -> None:
        if not self._will_read:
            self._will_read = True
            self._soon(self._read_now)

    def _read_now(self) -> None:
        self._will_read = False
        self._read()

    def _arrive(self, what: Any) -> None:
        """Receive a chunk, an end-of-stream or a reset for this side."""
        if not self._is_lost:
            self.unread.append(what)
        elif isinstance(what, bytes) and not self.peer._is_lost:
            self._send(_RESET)  # the bytes are for a closed socket

    # -- writing --------------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send bytes."""
        if self._has_ended and not self._is_closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_closing or self._is_lost or not data:
            return
        if self.process is not None and self.process.is_dead:
            return
        content = bytes(data)
        self._unread_bytes += len(content)
        link, chance = self.connection.link, self.connection.network.chance
        if link.cut and len(content) > 1 and chance.random() < link.cut:
            at = chance.randrange(1, len(content))
            self._send(content[:at])
            self._send(content[at:])
        else:
            self._send(content)
        if not self._writer_is_paused and self.get_write_buffer_size() > self._high:
            self._writer_is_paused = True
            if self.protocol is not None:
                self.protocol.pause_writing()

    def write_eof(self) -> None:
        """Signal that no more data will be written."""
        self._end()

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return the number of written bytes that neither the peer nor the system has accepted."""
        return 0 if self._is_lost else max(0, self._unread_bytes - _SYSTEM_BUFFER)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the number of buffered bytes above which the protocol is paused and below which it resumes."""
        self._high = (_HIGH_WATER if low is None else 4 * low) if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high buffer limit."""
        return self._low, self._high

    def _consider_writing(self) -> None:
        if self._writer_is_paused and self.get_write_buffer_size() <= self._low:
            self._writer_is_paused = False
            if self.protocol is not None and not self._is_lost:
                self._soon(self.protocol.resume_writing)

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._send(_END)

    def _send(self, what: Any) -> None:
        if self.process is not None and self.process.is_dead and isinstance(what, bytes):
            return
        network = self.connection.network
        # bytes are never reordered
        self._last_at = max(self._last_at, self._loop.time() + network.latency_s(self.connection.link))
        self.in_flight.append((self._last_at, what))
        self.carry()

    def carry(self) -> None:
        """Schedule the arrival of data in flight."""
        if self.in_flight and self._carrying is None and not self.is_held:
            # the bytes are already on the wire, so they arrive whatever happens to the process that wrote them
            self._carrying = self._loop.call_at(self.in_flight[0][0], self._carry, context=contextvars.Context())

    def _carry(self) -> None:
        self._carrying = None
        now = self._loop.time()
        peer = self.peer
        has_arrived = False
        while self.in_flight and self.in_flight[0][0] <= now and not self.is_held:
            _, what = self.in_flight.popleft()
            kind = "end" if what is _END else "reset" if what is _RESET else len(what)
            self._loop.note(f"{self.connection.number} {self.name} {kind}")
            if peer.is_cut_off:
                continue  # the receiving machine is gone, so the data is neither received nor refused
            peer._arrive(what)
            has_arrived = True
        if has_arrived and not peer._will_read and (peer.process is None or not peer.process.is_held):
            if peer._context is None:
                peer._read()
            else:
                peer._context.run(peer._read)
        self.carry()

    # -- the end --------------------------------------------------------------------------------------------------

    def lose(self, error: Exception) -> None:
        """Notify the protocol, in the next iteration of the loop, that the connection is gone."""
        if not self._is_lost:
            self._is_closing = True
            self._soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self.unread.clear()
        self._close_books()
        if self.protocol is not None:
            self.protocol.connection_lost(error)

    def _close_books(self) -> None:
        if self.owner is not None:
            self.owner.forget(self.connection.number)
        if self.peer._is_lost:
            self.connection.network.connections.pop(self.connection.number, None)

    def die(self, *, silently: bool) -> None:
        """Terminate this side together with its process. The process's code is not notified, and the peer notices only
        through data that the system sends.
        """
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self.unread.clear()
        if silently:
            self.is_cut_off = True
        elif not self._has_ended:
            self._has_ended = True
            self._send(_END)
        self._close_books()


class Server(asyncio.AbstractServer):
    """A server: a listening address and its connections."""

    def __init__(
        self,
        network: Network,
        address: tuple[str, int],
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        is_serving: bool,
    ) -> None:
        from tests.simulation.loop import PROCESS

        self.network = network
        self.address = address
        self.factory = factory
        self.context = contextvars.copy_context()
        self.process = PROCESS.get()
        self.transports: dict[int, Transport] = {}
        self._is_serving = is_serving
        self._is_closed = False
        self._closed: asyncio.Future[None] = network.loop.create_future()

    @property
    def sockets(self) -> tuple[Listening, ...]:
        """Stand-ins for the listening sockets, for code that reads the address from them."""
        return () if self._is_closed else (Listening(self.address),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self.network.loop

    def is_serving(self) -> bool:
        """Return whether the server accepts connections."""
        return self._is_serving and not self._is_closed

    async def start_serving(self) -> None:
        """Start accepting connections."""
        self._is_serving = True

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, then close."""
        self._is_serving = True
        try:
            await self.network.loop.create_future()
        finally:
            self.close()

    def close(self) -> None:
        """Stop accepting connections. Open connections continue."""
        if not self._is_closed:
            self._is_closed = True
            self.network._servers.pop(self.address, None)
            if not self._closed.done():
                self._closed.set_result(None)

    def close_clients(self) -> None:
        """Close all connections."""
        for transport in list(self.transports.values()):
            transport.close()

    def abort_clients(self) -> None:
        """Abort all connections."""
        for transport in list(self.transports.values()):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until `close` is called."""
        await asyncio.shield(self._closed)

    def forget(self, number: int) -> None:
        """Remove a connection that is gone."""
        self.transports.pop(number, None)


@dataclass(frozen=True, slots=True)
class Listening:
    """Stands in for a listening socket. It has only the attributes that callers use."""

    address: tuple[str, int]
    family: int = socket.AF_INET

    def getsockname(self) -> tuple[str, int]:
        """Return the host and the port."""
        return self.address
