"""BitoPro's wire without any I/O: every request, reply and frame as a typed struct, decoded and encoded.

`codec` (bytes <-> structs, times, the one error), `endpoints` (the table of paths), `market`, `account`, `wallet`
(replies), `bodies` (requests), `frames` (streams), `errors` (refusals). The client and the emulator share it.
"""
