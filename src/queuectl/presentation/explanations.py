"""The reasons why a job waits, as programs and people read them."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from queuectl.application.operate.explain import Explanation, waits
from queuectl.domain.reasons import Holder, Reason
from queuectl.presentation.formatting import escaped, local_time, relative, span
from queuectl.presentation.views import View, seconds, timestamp


def explanation_view(found: Explanation) -> View:
    """The reasons with their holders, and the estimate."""
    return {
        "job": found.job.id,
        "state": str(found.job.state),
        "reasons": [_reason_view(found, reason) for reason in found.reasons],
        "before": found.before,
        "usual_run": seconds(found.facts.around.usual_run),
        "estimate": timestamp(found.estimate),
    }


def reason_cells(reason: Reason) -> Sequence[object]:
    """One reason as the cells of a plain line."""
    return (str(reason.code), timestamp(reason.until), reason.message, reason.hint)


def explanation_lines(found: Explanation) -> list[str]:
    """The reasons as sentences, the one that binds first before the others."""
    if not waits(found.job):
        return list(_of_one_that_does_not_wait(found, found.reasons[0]))
    lines = [_headline(found)]
    for number, reason in enumerate(found.reasons, start=1):
        lines += [f"  {number}. {_sentence(reason, found.at)}", *_holders(found, reason), *_hint(reason)]
    if found.estimate is not None:
        about = relative(found.estimate, found.at)
        lines.append(f"likely to start {about} ({local_time(found.estimate)}), if nothing else comes before it")
    return lines


def _reason_view(found: Explanation, reason: Reason) -> View:
    return {
        "code": str(reason.code),
        "message": reason.message,
        "since": timestamp(reason.since),
        "until": timestamp(reason.until),
        "hint": reason.hint,
        "holders": [
            {"job": it.job, "worker": it.worker, "host": found.hosts.get(it.worker), "since": timestamp(it.since)}
            for it in reason.holders
        ],
    }


def _headline(found: Explanation) -> str:
    job = found.job
    waited = span(max(found.at - job.updated_at, timedelta()))
    return f"job {job.id} waits: {job.state} for {waited}, queue {escaped(job.queue)}, priority {job.priority}"


def _of_one_that_does_not_wait(found: Explanation, reason: Reason) -> Iterator[str]:
    yield f"job {found.job.id} does not wait: {_sentence(reason, found.at)}"
    yield from (*_holders(found, reason), *_hint(reason))


def _sentence(reason: Reason, at: datetime) -> str:
    since = f", since {local_time(reason.since)}" if reason.since else ""
    until = f", until {local_time(reason.until)} ({relative(reason.until, at)})" if reason.until else ""
    return f"{escaped(reason.message)}{since}{until}"


def _holders(found: Explanation, reason: Reason) -> Iterator[str]:
    for holder in reason.holders:
        yield f"       {_holder(found, holder)}"


def _holder(found: Explanation, holder: Holder) -> str:
    host = found.hosts.get(holder.worker)
    where = f"on {escaped(host)}" if host else f"with worker {escaped(holder.worker)}"
    since = f" for {span(max(found.at - holder.since, timedelta()))}" if holder.since else ""
    usual = f" (usually {span(found.facts.around.usual_run)})" if found.facts.around.usual_run else ""
    return f"{holder.job} {where}{since}{usual}"


def _hint(reason: Reason) -> Iterator[str]:
    if reason.hint:
        yield f"       {escaped(reason.hint)}"
