"""BitoPro's wire format without any I/O: every request, reply and frame as a typed struct, decoded and encoded.

`codec` (bytes <-> structs, times, the error type), `endpoints` (the table of paths), `market`, `account`, `wallet`
(replies), `bodies` (requests), `frames` (streams), `errors` (refusals). The client and the emulator share it.
"""
