"""Recorded data: the tape (a folder of Parquet files), single files through formats, and the feed that joins them.

`tape` reads a folder, `writer` makes one, `recorder` adds to one what comes in, by way of a `journal` that survives a
kill, `raw_frames` keeps frames beside it, `formats` reads CSV, `feed` serves several sources as one stream of slices,
`checks` and `spread` look at what is there, `synthetic` makes a market that never was.
"""
