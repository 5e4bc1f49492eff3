"""BitoPro on this machine: `botkit.sim` behind the exchange's HTTP and WebSocket protocols.

server     the shell: HTTP, sockets and time; `Emulator`
venue      the exchange behind it, without I/O
sources    the market: synthetic and endless, or a tape; companions: pairs that the synthetic market does not make
public, private, wallet, orders, tables      the endpoints
hub, sockets      who listens to which stream, and the frames
auth, routes, replies, rows      headers, paths, answers, rows of the wire
switches   what the documents leave open;  faults   what goes wrong;  control   /_emulator/

    from botkit.assembly.emulator import make_emulator

    async with make_emulator() as emulator:
        print(emulator.rest, emulator.ws)
"""

from botkit.emulator.options import DEFAULT_ACCOUNT, EmulatorAccount, EmulatorOptions
from botkit.emulator.server import Emulator
from botkit.emulator.switches import choose

__all__ = ["DEFAULT_ACCOUNT", "Emulator", "EmulatorAccount", "EmulatorOptions", "choose"]
