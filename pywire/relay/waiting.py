"""One task waiting for one thing, at the least cost trio has.

A login waits two or three times; an Event or a channel each would cost more than the login's own
work. Never for more than one task at a time.
"""

import trio


class Waiter:
    """Where a task sleeps until it is woken; a wake without a sleeper is lost, so look first."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    async def sleep(self) -> None:
        """Wait for the next `wake`; cancellable."""
        if self._task is not None:
            raise trio.BusyResourceError("another task is waiting already")
        self._task = trio.lowlevel.current_task()

        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """Set the sleeper going, if there is one."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)
