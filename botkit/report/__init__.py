"""Presents a finished run as an HTML file for the browser and a summary for the terminal. This package imports only
`model`.
"""

from __future__ import annotations

from botkit.report.html import render, render_parts
from botkit.report.terminal import print_summary

__all__ = ["print_summary", "render", "render_parts"]
