"""Workers, and the settings of the policy."""

import sqlalchemy as sa

from queuectl.adapters.sql.schema import Moment, Words, config, workers
from queuectl.adapters.sql.statements import AnySelect, among, each, given, inserted, many, one, run
from queuectl.adapters.sql.statements.work import HOLDING, IS_LIVE

_WITH_JOBS: AnySelect = sa.select(workers, HOLDING.label("jobs")).order_by(workers.c.started_at, workers.c.id)


@each
def add_worker() -> sa.Insert:
    """Workers, with their leases."""
    return inserted(workers)


@run
def delete_ended_workers() -> sa.Delete:
    """Those that ended before a moment."""
    return sa.delete(workers).where(workers.c.ended_at < sa.bindparam("before", type_=Moment))


@run
def delete_workers() -> sa.Delete:
    """The workers of these ids."""
    return sa.delete(workers).where(among(workers.c.id, "ids"))


@one
def worker_id() -> AnySelect:
    """The id of the worker, if it is there."""
    return sa.select(workers.c.id).where(workers.c.id == sa.bindparam("worker", type_=Words))


@run
def renew() -> sa.Update:
    """The lease of a worker, unless it is given up."""
    names = ("state", "renewed_at", "lease_expires_at")
    of_it = workers.c.id == sa.bindparam("worker", type_=Words)
    return sa.update(workers).where(of_it, IS_LIVE).values({name: given(workers.c[name]) for name in names})


@many
def live_workers() -> AnySelect:
    """Those that run or stop, with the number of jobs that each holds, in order of their start."""
    return _WITH_JOBS.where(IS_LIVE)


@many
def expired_or_local_workers() -> AnySelect:
    """Of the live ones, those whose lease has run out at a moment, or ends beyond another, and all on a machine."""
    ran_out = workers.c.lease_expires_at <= sa.bindparam("at", type_=Moment)
    is_odd = workers.c.lease_expires_at > sa.bindparam("beyond", type_=Moment)
    return live_workers().where(ran_out | is_odd | (workers.c.machine == given(workers.c.machine)))


@many
def stopped_workers_on() -> AnySelect:
    """Those on a machine that were stopped or given up."""
    return _WITH_JOBS.where(~IS_LIVE, workers.c.machine == given(workers.c.machine))


# The settings of the policy.


@many
def settings() -> AnySelect:
    """All that were set."""
    return sa.select(config)


@each
def add_setting() -> sa.Insert:
    """Settings that were not set."""
    return inserted(config)


@run
def clear_setting() -> sa.Delete:
    """Back to the default."""
    return sa.delete(config).where(config.c.queue == given(config.c.queue), config.c.key == given(config.c.key))


@run
def clear_settings() -> sa.Delete:
    """All of them."""
    return sa.delete(config)
