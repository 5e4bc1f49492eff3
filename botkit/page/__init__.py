"""The live page: a process of its own that shows running bots and finished runs in a browser, on this machine only.

It reads what bots write to their folders (`botkit.live.telling.page_feed`, the journal, the status) and sends it over
one WebSocket. It has no key, no account and no connection to an exchange. A bot that allows it takes commands from the
page as from the command line, through files in its folder (`botkit.live.commands`), and checks them itself.
"""
