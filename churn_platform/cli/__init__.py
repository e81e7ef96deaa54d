"""The command line: `app` names the commands, each other file the arguments and words of some
of them.
"""
