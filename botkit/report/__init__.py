"""Presents a finished run as an HTML file for the browser and a summary for the terminal. This package imports only
`model`.

Nothing is imported here, because every command needs the language, and few need a page.
"""
