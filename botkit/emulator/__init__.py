"""A local BitoPro: `botkit.sim` behind the exchange's HTTP and WebSocket protocols.

    server      the shell (class `Emulator`): HTTP, sockets and time
    venue       the exchange behind the shell, without I/O
    sources     the market: endless and synthetic, or a tape
    companions  pairs that the synthetic market lacks
    public, private, wallet, orders, tables      the endpoints
    hub, sockets                                 stream subscribers, and their frames
    auth, routes, replies, rows                  headers, paths, replies, wire rows
    switches    behavior that the documentation leaves open
    faults      injected errors
    control     the control interface, /_emulator/

Start an emulator:

    from botkit.assembly.emulator import make_emulator

    async with make_emulator() as emulator:
        print(emulator.rest, emulator.ws)
"""

from botkit.emulator.options import DEFAULT_ACCOUNT, EmulatorAccount, EmulatorOptions
from botkit.emulator.server import Emulator
from botkit.emulator.switches import choose

__all__ = ["DEFAULT_ACCOUNT", "Emulator", "EmulatorAccount", "EmulatorOptions", "choose"]
