"""pywire: clients keep their PostgreSQL sessions while the host under them changes.

The public names are few: what a program needs that reads a configuration, follows the events or
catches the errors. Importing this package starts nothing, opens nothing and loads no extension.
"""

from pywire.config import Config as Config
from pywire.errors import ConfigError as ConfigError
from pywire.errors import PywireError as PywireError
from pywire.events import Event as Event
from pywire.events import EventLog as EventLog
from pywire.ids import Generation as Generation
from pywire.ids import HostId as HostId
from pywire.ids import SessionId as SessionId
from pywire.lsn import Lsn as Lsn
from pywire.lsn import TimelineId as TimelineId
