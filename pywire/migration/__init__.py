"""Moving one live session from one host to another.

`phases` is a pure table; `capture`, `restore` and `migrate` talk to backends, with trio.
"""
