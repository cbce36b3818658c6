"""A switchover over fake servers: its order, and that every failure before the line leaves everybody where they were."""

import pytest
import trio

from pywire.cluster.switchover import Refused, SwitchedOver, switchover
from pywire.errors import NoPrimary
from pywire.migration.phases import SWITCHOVER, Phase, step
from pywire.session.pins import Flag

from .fakes import World, row


def hosts_of(world):
    return {session.host for session in world.registry}


def steps(world):
    """The steps of the servers, without those of sessions."""
    return [line for line in world.log if not line.startswith(("release", "cut_over"))]


async def change(world, **options):
    return await switchover(
        world.cluster, "b", force=options.pop("force", False), tools=world.tools, **options
    )


async def test_the_order(autojump_clock):
    world = World()
    outcome = await change(world)
    assert isinstance(outcome, SwitchedOver)
    assert (outcome.migrated, outcome.lost, outcome.attached) == (3, 0, True)
    servers = steps(world)
    assert servers[0:2] == ["checkpoint a", "stop fast a"]
    assert set(servers[2:4]) == {"fence a", "control_data a"}
    assert servers[4:] == ["promote b", "make_standby a", "start a"]
    cut = [index for index, line in enumerate(world.log) if line.startswith("cut_over")]
    assert world.log.index("promote b") < min(cut)
    assert max(cut) < world.log.index("start a")
    assert hosts_of(world) == {"b"}
    assert world.cluster.topology.primary == "b"
    assert world.servers["a"].in_recovery
    names = [event.name() for event in world.events]
    assert (
        names.index("switchover_started")
        < names.index("promoted")
        < names.index("switchover_finished")
    )


async def test_clients_are_not_told_of_a_standby_they_never_saw(autojump_clock):
    world = World()
    await change(world)
    assert all(told == {} for told in world.told.values()), (
        "in_hot_standby is off again before they go on"
    )


async def test_logins_wait_at_the_gate(autojump_clock):
    world = World()
    gates = []
    world.servers["b"].become_primary, original = (
        lambda: (gates.append(world.cluster.pause_reasons), original()),
        world.servers["b"].become_primary,
    )
    await change(world)
    assert gates == [("switchover to b",)]
    assert world.cluster.pause_reasons == ()
    assert (await world.cluster.route()).name == "b"


@pytest.mark.parametrize(
    ("server", "failure", "phase"),
    [
        ("a", "checkpoint", Phase.CHECKPOINTING),
        ("a", "stop fast", Phase.STOPPING),
        ("a", "control_data", Phase.VERIFYING),
        ("a", "shutdown", Phase.VERIFYING),
        ("a", "replicate", Phase.VERIFYING),
        ("a", "fence", Phase.VERIFYING),
    ],
)
async def test_any_failure_before_the_line_leaves_everybody_on_the_old_primary(
    autojump_clock, server, failure, phase
):
    world = World()
    world.servers[server].fails.add(failure)
    if failure == "stop fast":
        world.servers["a"].fails.add(failure)
    outcome = await change(world)
    assert isinstance(outcome, Refused)
    assert outcome.phase is phase
    assert step(SWITCHOVER, phase).reversible
    assert hosts_of(world) == {"a"}
    assert world.closed == {}
    old = world.servers["a"]
    assert old.running
    assert not old.in_recovery
    assert not old.standby_signal
    assert world.servers["b"].in_recovery
    assert "promote b" not in world.log
    assert world.cluster.topology.primary == "a"
    assert (await world.cluster.route()).name == "a"
    assert world.events[-1].name() == "switchover_refused"
    if phase in (Phase.STOPPING, Phase.VERIFYING):
        returned = [line for line in world.log if line.startswith("cut_over")]
        assert all(line.endswith(" a") for line in returned)
        assert len(returned) == 3


async def test_a_promotion_that_cannot_be_asked_for_is_before_the_line(autojump_clock):
    world = World()
    world.servers["b"].fails |= {"promote", "pg_ctl promote"}
    outcome = await change(world)
    assert isinstance(outcome, Refused)
    assert hosts_of(world) == {"a"}
    assert world.servers["a"].running
    assert not world.servers["a"].in_recovery


async def test_without_the_right_to_promote_by_sql_pg_ctl_does_it(autojump_clock):
    world = World()
    world.servers["b"].fails.add("promote")
    assert isinstance(await change(world), SwitchedOver)
    assert "pg_ctl promote b" in world.log


async def test_a_promotion_that_was_told_and_does_not_happen_is_over_the_line(autojump_clock):
    """Nobody is started by guess: two primaries would be worse than none."""
    world = World()
    world.servers["b"].fails.add("ignore promote")
    outcome = await change(world)
    assert isinstance(outcome, Refused)
    assert outcome.phase is Phase.PROMOTING
    assert "start a" not in world.log
    assert len(world.closed) == 3
    assert all(b"57P01" in farewell for farewell in world.closed.values())
    with pytest.raises(NoPrimary):
        await world.cluster.route()


async def test_an_old_primary_that_does_not_come_back_is_told_and_changes_nothing(autojump_clock):
    world = World()
    world.servers["a"].fails.add("start")
    outcome = await change(world)
    assert isinstance(outcome, SwitchedOver)
    assert not outcome.attached
    assert hosts_of(world) == {"b"}
    assert "failed" in [event.name() for event in world.events]


async def test_a_pinned_session_refuses_before_anything_is_stopped(autojump_clock):
    world = World()
    pinned = world.open_session()
    pinned.flags = Flag.LOAD
    outcome = await change(world)
    assert isinstance(outcome, Refused)
    assert f"Session {pinned.id}" in outcome.reasons[0]
    assert "stop fast a" not in world.log


async def test_state_found_at_the_capture_refuses_as_well_and_force_ends_that_session(
    autojump_clock,
):
    world = World()
    pinned = world.open_session()
    world.states[pinned.id] = row(temporary=1)
    outcome = await change(world)
    assert isinstance(outcome, Refused)
    assert outcome.phase is Phase.CONNECTING
    assert "temporary" in outcome.reasons[0]
    assert world.closed == {}
    outcome = await change(world, force=True)
    assert isinstance(outcome, SwitchedOver)
    assert (outcome.migrated, outcome.lost) == (3, 1)
    assert list(world.closed) == [pinned.id]
    assert b"57P01" in world.closed[pinned.id]


async def test_a_transaction_that_does_not_end_refuses(autojump_clock):
    world = World()
    busy = world.open_session()
    world.busy.add(busy.id)
    outcome = await change(world)
    assert isinstance(outcome, Refused)
    assert "inside a transaction" in outcome.reasons[0]
    assert hosts_of(world) == {"a"}


async def test_synchronous_names_are_cleared_before_and_exchanged_after(autojump_clock):
    world = World()
    world.servers["a"].names = world.servers["b"].names = "b"
    await change(world)
    assert world.log.index("names b (none)") < world.log.index("promote b")
    assert world.log.index("names b a") > world.log.index("start a")


async def test_synchronous_names_are_given_back_if_it_is_refused(autojump_clock):
    world = World()
    world.servers["a"].names = world.servers["b"].names = "b"
    world.servers["a"].fails.add("checkpoint")
    await change(world)
    assert world.servers["b"].names == "b"


async def test_back_and_forth(autojump_clock):
    world = World()
    for target in "baba":
        outcome = await switchover(world.cluster, target, force=False, tools=world.tools)
        assert isinstance(outcome, SwitchedOver), outcome
        assert hosts_of(world) == {target}


async def test_no_backend_is_left_open(autojump_clock):
    world = World()
    await change(world)
    given = {session.backend for session in world.registry}
    assert {backend.link.id for backend in world.backends if backend.open} == given


async def test_slots_change_places_with_the_hosts(autojump_clock):
    """Nothing keeps WAL on the old primary, and whoever streams from the new one has a slot there."""
    world = World()
    world.servers["a"].slots = {"of_b", "of_c"}
    world.servers["b"].slot = "of_b"
    await change(world)
    assert world.servers["a"].slots == set()
    assert world.servers["b"].slots == {"pywire_a", "of_c"}
    assert world.servers["a"].slot == "pywire_a"


async def test_without_slots_none_are_made(autojump_clock):
    world = World()
    await change(world)
    assert world.servers["a"].slots == world.servers["b"].slots == set()
    assert world.servers["a"].slot == ""


async def test_an_open_transaction_gets_several_attempts_and_then_it_ends_in_time(autojump_clock):
    world = World()
    busy = world.open_session()
    world.busy.add(busy.id)

    async def commit_later():
        await trio.sleep(
            15.0
        )  # within the second attempt, which fake sessions wait out nevertheless
        world.busy.clear()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit_later)
        outcome = await change(world)
    assert isinstance(outcome, SwitchedOver)
    assert [event.name() for event in world.events].count("switchover_started") == 3


async def test_force_ends_nobody_if_it_fails_for_another_reason(autojump_clock):
    world = World()
    pinned = world.open_session()
    pinned.flags = Flag.LOAD
    world.servers["a"].fails.add("checkpoint")
    assert isinstance(await change(world, force=True), Refused)
    assert world.closed == {}


async def test_a_refused_session_that_leaves_by_itself_stands_in_nobodys_way(autojump_clock):
    world = World()
    pinned = world.open_session()
    pinned.flags = Flag.LOAD
    slow = world.reopen

    async def reopen(session, host):
        world.registry.close(pinned.id)
        return await slow(session, host)

    world.reopen = reopen
    assert isinstance(await change(world), SwitchedOver)


async def test_a_backend_that_did_not_survive_the_wait_is_replaced(autojump_clock):
    world = World()
    become_primary = world.servers["b"].become_primary

    def become_primary_and_drop_one():
        become_primary()
        waiting = [
            backend for backend in world.backends if backend.open and backend.host.name == "b"
        ]
        waiting[-1].dies = True

    world.servers["b"].become_primary = become_primary_and_drop_one
    outcome = await change(world)
    assert isinstance(outcome, SwitchedOver)
    assert (outcome.migrated, outcome.lost) == (3, 0)
    assert hosts_of(world) == {"b"}
