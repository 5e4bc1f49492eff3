from __future__ import annotations

import os

import pytest

from botkit.live.broker import FOLDER_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _broker_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test counts into the windows of bots that this user runs, or leaves a broker among their files."""
    os.environ.setdefault(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("broker")))
