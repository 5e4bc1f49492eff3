"""Recorded data: the tape (a folder of Parquet files), data files in other formats, and the feed that joins them.

`tape` reads a folder, `writer` creates one, `recorder` adds live data through a `journal` that survives a kill, and
`raw_frames` saves the raw frames next to the tape. `formats` reads CSV, `feed` merges several sources into one stream
of slices, `checks` and `spread` examine the data, and `synthetic` generates a market.
"""
