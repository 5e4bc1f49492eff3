"""Chooses the runner for a search's trials: this process, several processes, or a cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from botkit.project.project import Project
from botkit.research.search.asked import SearchSettings
from botkit.research.search.cluster import Cluster
from botkit.research.search.parcel import pack
from botkit.research.search.pool import InProcess, ProcessPool, cores
from botkit.research.search.worker import BenchRecipe

__all__ = ["make_runner"]


def make_runner(
    project: Project, recipe: BenchRecipe, settings: SearchSettings, trials: int, tell: Callable[[str], None]
) -> InProcess | ProcessPool | Cluster:
    """Return a runner for up to ``trials`` trials. ``tell`` receives sentences about workers. Raises ConfigError."""
    if settings.cluster is not None:
        return Cluster(
            settings.cluster,
            pack(project.loaded, None if recipe.data is None else Path(recipe.data)),
            recipe,
            certificates=settings.cluster_certs,
            is_insecure=settings.is_insecure,
            tell=tell,
        )
    count = min(cores() if settings.jobs is None else settings.jobs, trials)
    if count == 1:
        return InProcess(recipe)
    shared = tempfile.mkdtemp(prefix="botkit-rows-")

    def clean() -> None:
        shutil.rmtree(shared, ignore_errors=True)

    return ProcessPool(msgspec.structs.replace(recipe, shared=shared), count, clean)
