"""A marker for tests that make sense only in plain Python."""

from __future__ import annotations

import pytest

from botkit.compiled import IS_COMPILED

#: for tests that replace a method, because compiled callers call the original method directly
replaces_code = pytest.mark.skipif(IS_COMPILED, reason="compiled code cannot be replaced")
