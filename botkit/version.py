"""The version of botkit. The build reads it from this module."""

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Return the versions that results depend on: botkit, Python, and the numerical libraries."""
    import platform
    from importlib.metadata import version

    libraries = {name: version(name) for name in ("numpy", "msgspec", "pandas", "pyarrow")}
    return {"botkit": __version__, "python": platform.python_version(), **libraries}
