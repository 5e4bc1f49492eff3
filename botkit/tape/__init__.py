"""Recorded data: the tape (a folder of Parquet files), single files read by formats, and the feed that joins them.

`tape` reads a folder, `writer` makes one, `recorder` adds live data to one through a `journal` that survives a
kill, `raw_frames` keeps frames beside it, `formats` reads CSV, `feed` serves several sources as one stream of slices,
`checks` and `spread` examine the data, `synthetic` generates a market.
"""
