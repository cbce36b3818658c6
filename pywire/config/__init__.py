"""The configuration: what it may say, how it is read, and what a change of it needs.

`Config.parse` is pure: the command line reads the file, and nothing here reads the environment.
Files the configuration names are not opened here; `pywire check` looks whether they can be.
"""

from pywire.config.address import Address as Address
from pywire.config.difference import Change as Change
from pywire.config.difference import diff as diff
from pywire.config.model import AdminConfig as AdminConfig
from pywire.config.model import ClusterConfig as ClusterConfig
from pywire.config.model import HostConfig as HostConfig
from pywire.config.model import ListenConfig as ListenConfig
from pywire.config.model import LogConfig as LogConfig
from pywire.config.model import LoginConfig as LoginConfig
from pywire.config.model import MigrationConfig as MigrationConfig
from pywire.config.model import RelayConfig as RelayConfig
from pywire.config.parse import Config as Config
from pywire.errors import ConfigError as ConfigError
from pywire.errors import Problem as Problem
