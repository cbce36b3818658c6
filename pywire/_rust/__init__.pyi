"""The compiled part of pywire: `wire` is pure, `relay` has sockets and threads."""

from . import relay as relay
from . import wire as wire
