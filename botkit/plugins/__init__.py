"""Discovery of plugins, and what they offer, resolved once at start.

Order: built-in, entry points of the group ``botkit`` (by distribution and name, so that it does not depend on the
machine), then the folders and modules of the configuration. Every failure is a `PluginError` that names the plugin, the
file and the remedy: a misspelt hook, a doubled name, a plugin that cannot be imported, a callback that is no event.

`discovery` finds and imports, `checks` refuses what cannot work, `registry` holds what was offered and calls hooks.
"""

from botkit.plugins.checks import check_event_methods
from botkit.plugins.registry import Plugins, Registration, load_plugins

__all__ = ["Plugins", "Registration", "check_event_methods", "load_plugins"]
