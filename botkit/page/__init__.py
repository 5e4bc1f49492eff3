"""The live page: a separate process that shows running bots and finished runs in a browser, on this machine only.

It reads the files that bots write to their folders (`botkit.live.notifications.page_feed`, the journal, the status) and
sends their contents over one WebSocket. It has no API key, no account and no connection to an exchange. A bot whose
configuration allows it accepts commands from the page in the same way as from the command line, through files in its
folder (`botkit.live.commands`). The bot validates these commands.
"""
