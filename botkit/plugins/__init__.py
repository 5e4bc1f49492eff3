"""Finds plugins and the objects that they provide, once at startup.

Loading order: built-in plugins, entry points in the group ``botkit`` (sorted by distribution and name, so that the
order does not depend on the machine), then the configuration's folders and modules. Every failure, such as a misspelled
hook, a duplicate name, a plugin that cannot be imported or a callback that is not an event, raises a `PluginError` that
names the plugin, the file and the remedy.

`discovery` finds and imports plugins, `checks` refuses those that cannot work, and `registry` stores the registered
objects and calls hooks.
"""

from botkit.plugins.checks import check_event_methods
from botkit.plugins.registry import Plugins, Registration, load_plugins, made

__all__ = ["Plugins", "Registration", "check_event_methods", "load_plugins", "made"]
