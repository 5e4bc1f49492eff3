"""Shows a finished run: one HTML file for a browser, and a summary for a terminal. Imports only `model`."""

from __future__ import annotations

from botkit.report.html import render
from botkit.report.terminal import print_summary

__all__ = ["print_summary", "render"]
