"""Workers, and the settings of the policy."""

from sqlalchemy import Delete, Insert, Update, bindparam, delete, select, update

from queuectl.adapters.sql.schema import Moment, Words, config, workers
from queuectl.adapters.sql.statements import AnySelect, among, each, given, inserted, many, one, run
from queuectl.adapters.sql.statements.work import HOLDING, IS_LIVE

_WITH_JOBS: AnySelect = select(workers, HOLDING.label("jobs")).order_by(workers.c.started_at, workers.c.id)


@each
def add_worker() -> Insert:
    """Workers, with their leases."""
    return inserted(workers)


@run
def delete_ended_workers() -> Delete:
    """Those that ended before a moment."""
    return delete(workers).where(workers.c.ended_at < bindparam("before", type_=Moment))


@run
def delete_workers() -> Delete:
    """The workers of these ids."""
    return delete(workers).where(among(workers.c.id, "ids"))


@one
def worker_id() -> AnySelect:
    """The id of the worker, if it is there."""
    return select(workers.c.id).where(workers.c.id == bindparam("worker", type_=Words))


@run
def renew() -> Update:
    """The lease of a worker, unless it is given up."""
    names = ("state", "renewed_at", "lease_expires_at")
    of_it = workers.c.id == bindparam("worker", type_=Words)
    return update(workers).where(of_it, IS_LIVE).values({name: given(workers.c[name]) for name in names})


@many
def live_workers() -> AnySelect:
    """Those that run or stop, with the number of jobs that each holds, in order of their start."""
    return _WITH_JOBS.where(IS_LIVE)


@many
def expired_or_local_workers() -> AnySelect:
    """Of the live ones, those whose lease has run out at a moment, or ends beyond another, and all on a machine."""
    ran_out = workers.c.lease_expires_at <= bindparam("at", type_=Moment)
    is_odd = workers.c.lease_expires_at > bindparam("beyond", type_=Moment)
    return live_workers().where(ran_out | is_odd | (workers.c.machine == given(workers.c.machine)))


@many
def stopped_workers_on() -> AnySelect:
    """Those on a machine that were stopped or given up."""
    return _WITH_JOBS.where(~IS_LIVE, workers.c.machine == given(workers.c.machine))


# The settings of the policy.


@many
def settings() -> AnySelect:
    """All that were set."""
    return select(config)


@each
def add_setting() -> Insert:
    """Settings that were not set."""
    return inserted(config)


@run
def clear_setting() -> Delete:
    """Back to the default."""
    return delete(config).where(config.c.key == given(config.c.key))


@run
def clear_settings() -> Delete:
    """All of them."""
    return delete(config)
