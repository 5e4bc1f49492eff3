"""``botkit new``: create a working strategy as a starting point, with its configuration and test, or an installable
package that contains a strategy.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import click

from botkit.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z", re.ASCII)


@click.group(name="new")
def new() -> None:
    """Create files from a template."""


@new.command()
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current directory",
    help="Folder that contains strategies/, configs/ and tests/.",
)
def strategy(name: str, folder: Path) -> None:
    """Create strategies/NAME.py, configs/NAME.yaml and tests/test_NAME.py. Never overwrites a file."""
    written = write_strategy(name, folder)
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"\nnext:  pytest {written[2]}\n       botkit backtest {written[1]} --data PATH")


@new.command()
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current directory",
    help="Parent folder for the new package.",
)
def plugin(name: str, folder: Path) -> None:
    """Create botkit-NAME, an installable package with a strategy, its configuration and its tests. Never overwrites a
    file.

    Once the package is installed, botkit finds the strategy through the package's entry point, so the configuration
    needs no `plugins:`.
    """
    written = write_plugin(name, folder)
    for path in written:
        click.echo(f"wrote {path}")
    root = written[0].parent
    click.echo(f"\nnext:  pip install -e {root}\n       pytest {root}\n       botkit backtest {written[2]} --data PATH")


def write_strategy(name: str, folder: Path) -> list[Path]:
    """Write the strategy's three files and return their paths. Raises ConfigError if the name is invalid or a file
    already exists.
    """
    _check(name)
    return _write(
        name,
        {
            folder / "strategies" / f"{name}.py": "strategy.py.txt",
            folder / "configs" / f"{name}.yaml": "config.yaml.txt",
            folder / "tests" / f"test_{name}.py": "test.py.txt",
        },
    )


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write a package and return the paths of its files, starting with pyproject.toml. Raises ConfigError if the name
    is invalid or a file already exists.
    """
    _check(name)
    root = folder / f"botkit-{name}"
    return _write(
        name,
        {
            root / "pyproject.toml": "pyproject.toml.txt",
            root / f"botkit_{name}" / "__init__.py": "strategy.py.txt",
            root / "configs" / f"{name}.yaml": "plugin_config.yaml.txt",
            root / "tests" / f"test_{name}.py": "plugin_test.py.txt",
        },
    )


def _check(name: str) -> None:
    if not _NAME.match(name) or keyword.iskeyword(name) or len(name) > 50:
        proposal = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
        hint = f"; write {proposal}" if _NAME.match(proposal) and not keyword.iskeyword(proposal) else ""
        raise ConfigError(
            f"{name!r} is not a valid strategy name: use only lowercase letters, digits and single underscores{hint}"
        )


def _write(name: str, files: Mapping[Path, str]) -> list[Path]:
    """Write each file from its template."""
    present = [str(path) for path in files if path.exists()]
    if present:
        raise ConfigError(f"{', '.join(present)} already exists; choose another name, or remove the file first")
    title = "".join(part.capitalize() for part in name.split("_"))
    templates = resources.files("botkit.cli").joinpath("templates")
    for path, template in files.items():
        text = templates.joinpath(template).read_text(encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x" never overwrites a file created in the meantime; newline makes the bytes the same on every system
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text.replace("@name@", name).replace("@Title@", title))
    return list(files)
