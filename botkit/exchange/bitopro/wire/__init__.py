"""BitoPro's wire format: every request, response and frame as a typed struct, with decoding and encoding. Does no I/O.

`codec` (bytes <-> structs, times, the error type), `endpoints` (the table of paths), `market`, `account`, `wallet`
(responses), `bodies` (requests), `frames` (streams), `errors` (refusals). The client and the emulator share these
modules.
"""
