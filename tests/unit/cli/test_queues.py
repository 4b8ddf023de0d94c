"""`queuectl queue`: limits, settings, pauses and moves, as people and programs ask for them."""

import io

import pytest

from queuectl.domain.job import State
from queuectl.domain.queues import EVERY
from tests.builders import HOUR, MINUTE, NOON, a_job, a_job_that_is, a_process, a_result, a_worker
from tests.unit.cli.conftest import CommandLine


def add(queuectl: CommandLine, *queues: str) -> list[str]:
    return [queuectl("enqueue", "--queue", queue, "-c", "make").out.strip() for queue in queues]


def said(queuectl: CommandLine, *line: str) -> list[str]:
    answer = queuectl("--output", "table", *line)
    assert (answer.code, answer.err) == (0, ""), answer.err
    return answer.lines


# Settings.


def test_what_is_set_is_told_with_what_was_before(queuectl: CommandLine) -> None:
    add(queuectl, "gpu")
    assert said(queuectl, "queue", "set", "gpu", "concurrency=2") == [
        "queue gpu: concurrency 2 (was: none); 0 run now",
    ]
    assert said(queuectl, "queue", "set", "gpu", "rate=100/1m", "max-retries=5") == [
        "queue gpu: rate 100/1m (was: none), max-retries 5 (was: 3)",
    ]
    assert said(queuectl, "queue", "set", "gpu", "rate=100/60s") == ["queue gpu: rate 100/1m"]
    settings = queuectl.queue.queues.all()["gpu"]
    assert settings.texts() == {"concurrency": "2", "rate": "100/1m", "reserved": "false"}
    assert queuectl.queue.config.stored("gpu") == {"max-retries": "5"}


def test_what_is_unset_holds_as_for_all_queues(queuectl: CommandLine) -> None:
    queuectl("config", "set", "max-retries", "7")
    queuectl("queue", "set", "gpu", "concurrency=2", "rate=1/1s", "max-retries=5")
    assert said(queuectl, "queue", "unset", "gpu", "rate", "max-retries") == [
        "queue gpu: rate none (was: 1/1s), max-retries 7 (was: 5)",
    ]
    assert queuectl.queue.queues.all()["gpu"].texts() == {"concurrency": "2", "rate": "none", "reserved": "false"}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("concurrency=0", 5, "concurrency must be a number of jobs from 1 to 10000, or none, not '0'"),
        ("concurrency=-1", 5, "concurrency must be a number of jobs from 1 to 10000, or none, not '-1'"),
        ("rate=0/1m", 5, "rate must be a number of starts from 1 to 10000 and a span of time"),
        ("rate=5/0s", 5, "rate must have a span longer than 0 seconds"),
        ("rate=5", 5, "such as 100/1m"),
        ("rate=5/soon", 5, "rate must end in a span of time, such as 100/1m"),
        ("reserved=maybe", 5, "reserved must be true or false"),
        ("lease=1m", 5, "lease holds for all queues: a worker has one lease, whatever its jobs"),
        ("kill-grace=1m", 5, "kill-grace holds for all queues"),
        ("concurency=2", 5, "did you mean concurrency?"),
        ("max_retries=2", 5, "did you mean max-retries?"),
        ("max-retries=-2", 5, "max-retries must be an integer from 0 to 1000"),
        ("concurrency", 2, "'concurrency' has no value: say KEY=VALUE"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_set(queuectl: CommandLine, text: str, code: int, words: str) -> None:
    answer = queuectl("queue", "set", "gpu", "max-losses=2", text)
    assert (answer.code, words in answer.err) == (code, True), answer.err
    assert (queuectl.queue.queues.all(), queuectl.queue.config.by_queue()) == ({}, {})


@pytest.mark.parametrize("command", ["set", "pause", "resume", "show", "drain", "forget"])
def test_a_name_that_no_queue_can_have_is_refused(queuectl: CommandLine, command: str) -> None:
    more = ["concurrency=1"] if command == "set" else []
    for name in ("", "two words"):
        answer = queuectl("queue", command, name, *more)
        assert (answer.code, "a queue is 1 to 64 letters" in answer.err) == (2, True), answer.err


@pytest.mark.parametrize(
    "line", [["show", "gpuu"], ["unset", "gpuu", "rate"], ["resume", "gpuu"], ["move", "gpuu", "--to", "b", "--yes"]]
)
def test_an_unknown_queue_suggests_one_that_there_is(queuectl: CommandLine, line: list[str]) -> None:
    add(queuectl, "gpu")
    answer = queuectl("queue", *line)
    assert (answer.code, answer.err) == (3, "error: there is no queue gpuu\nhint: did you mean gpu?\n")


def test_a_queue_whose_jobs_have_all_ended_is_no_unknown_one(queuectl: CommandLine) -> None:
    queuectl.jobs.add([a_job_that_is(State.COMPLETED, queue="old")])
    assert queuectl("queue", "show", "old", "--output", "json").document["pending"] == 0


def test_a_queue_is_limited_before_its_first_job_and_a_likely_mistake_is_told(queuectl: CommandLine) -> None:
    add(queuectl, "reports")
    answer = queuectl("queue", "set", "report", "concurrency=2")
    assert answer.code == 0
    assert answer.err == "note: no job waits or runs in queue report; there is a queue reports\n"


# Pauses.


def test_a_pause_says_what_waits_and_runs_and_how_to_wait(queuectl: CommandLine) -> None:
    add(queuectl, "api", "api", "api")
    queuectl.start_next()
    assert said(queuectl, "queue", "pause", "api") == [
        "paused queue api: 2 jobs wait, 1 runs on (`queuectl pause api --wait` waits for it)"
    ]
    assert said(queuectl, "queue", "resume", "api") == ["resumed queue api: 2 jobs wait"]
    assert said(queuectl, "queue", "resume", "api") == ["queue api was not paused"]


def test_a_second_pause_keeps_the_moment_of_the_first(queuectl: CommandLine) -> None:
    queuectl("queue", "pause", "api")
    queuectl.clock.advance(MINUTE)
    queuectl("pause", "api", "--for", "1h", "--reason", "later")
    pause = queuectl.queue.queues.all()["api"].pause
    assert pause is not None
    assert (pause.at, pause.until, pause.reason) == (NOON, NOON + MINUTE + HOUR, "later")


def test_a_pause_ends_by_itself_and_one_after_it_begins_anew(queuectl: CommandLine) -> None:
    queuectl("queue", "pause", "api", "--for", "1m")
    queuectl.clock.advance(MINUTE)
    assert said(queuectl, "queue", "resume", "api") == ["queue api was not paused"]
    queuectl("queue", "pause", "api")
    pause = queuectl.queue.queues.all()["api"].pause
    assert pause is not None
    assert pause.at == NOON + MINUTE


def test_a_pause_until_a_moment(queuectl: CommandLine) -> None:
    document = queuectl("queue", "pause", "new", "--until", "2030-01-31T15:00:00+02:00", "--output", "json").document
    assert (document["queue"], document["paused_until"]) == ("new", "2030-01-31T13:00:00.000000Z")
    assert (document["paused_by"], document["pause_reason"]) == ("ann@web-1", None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["api", "--until", "2030-01-31T11:00:00Z"], "--until must be a moment to come, not 2030-01-31T11:00:00Z"),
        (["api", "--until", "soon"], "--until must be an ISO 8601 time"),
        (["api", "--until", "2031-01-01", "--for", "1h"], "--for and --until exclude each other"),
        (["api", "--for", "0s"], "must be longer than 0 seconds"),
        (["api", "--all"], "give the name of a queue, or --all"),
        ([], "give the name of a queue, or --all"),
    ],
)
def test_a_pause_that_makes_no_sense_is_refused(queuectl: CommandLine, line: list[str], words: str) -> None:
    answer = queuectl("queue", "pause", *line)
    assert (answer.code, words in answer.err) == (2, True), answer.err
    assert queuectl.queue.queues.all() == {}


def test_all_queues_are_paused_and_resumed_at_once(queuectl: CommandLine) -> None:
    add(queuectl, "api", "gpu")
    queuectl("queue", "pause", "gpu")
    assert said(queuectl, "pause", "--all") == ["paused all queues: 2 jobs wait, none runs"]
    assert [it["paused"] for it in queuectl("queue", "list", "--output", "json").document] == [True, True]
    answer = queuectl("--output", "table", "resume", "--all")
    assert answer.lines == ["resumed all queues: 2 jobs wait"]
    assert answer.err == "note: queue gpu is still paused: `queuectl resume gpu`\n"
    assert [it["paused"] for it in queuectl("queue", "list", "--output", "json").document] == [False, True]


def test_a_queue_that_is_resumed_while_all_are_paused_says_so(queuectl: CommandLine) -> None:
    queuectl("pause", "--all")
    queuectl("pause", "api")
    answer = queuectl("--output", "table", "resume", "api")
    assert answer.err == "note: queue api is still paused: `queuectl resume --all`\n"


@pytest.mark.parametrize(
    "line", [["queue", "drain", "api"], ["queue", "pause", "api", "--wait"], ["pause", "--all", "--wait"]]
)
def test_a_drain_returns_when_nothing_runs(queuectl: CommandLine, line: list[str]) -> None:
    add(queuectl, "api", "api")
    run = queuectl.start_next()
    queuectl.workers.register(a_worker("w-2"))
    queuectl.meanwhile = [lambda: None, lambda: queuectl.end(run, a_result())]
    [sentence] = said(queuectl, *line)
    assert sentence.endswith(": 1 job waits, none runs")
    assert queuectl.meanwhile == []
    assert queuectl.rescues == 0


def test_a_drain_takes_back_what_a_lost_worker_holds_where_nobody_else_does(queuectl: CommandLine) -> None:
    add(queuectl, "api")
    run = queuectl.start_next()
    queuectl.gone.append(a_process())
    queuectl.meanwhile = [lambda: queuectl.end(run, a_result())]
    queuectl("queue", "drain", "api")
    assert queuectl.rescues == 1


def test_a_drain_that_is_interrupted_leaves_the_queue_paused(queuectl: CommandLine) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    add(queuectl, "api")
    queuectl.start_next()
    queuectl.meanwhile = [interrupt]
    answer = queuectl("queue", "drain", "api")
    assert (answer.code, "no longer waiting; queue api stays paused" in answer.err) == (130, True)
    assert queuectl.queue.queues.all()["api"].is_paused(NOON)


# What there is.


def test_of_each_queue_it_is_said_why_nothing_starts(queuectl: CommandLine) -> None:
    queuectl.workers.register(a_worker("w-1", lease_expires_at=NOON + HOUR))
    add(queuectl, "gpu", "gpu", "api", "api", "big", "plain")
    queuectl("queue", "set", "gpu", "concurrency=1")
    queuectl("queue", "set", "api", "rate=1/1m")
    queuectl("queue", "set", "big", "reserved=true")
    queuectl("pause", "nightly")
    for _ in range(3):
        queuectl.start_next()
    states = {line.split("\t")[0]: line.split("\t")[-1] for line in queuectl("queue", "list").lines}
    assert states == {
        "api": "rate used up: next in 1 min",
        "big": "no live worker serves it",
        "gpu": "full: next when one ends",
        "nightly": "paused by ann@web-1, no end",
        "plain": "open",
    }


def test_a_queue_counts_its_workers_and_a_reserved_one_those_that_name_it(queuectl: CommandLine) -> None:
    add(queuectl, "gpu", "plain")
    queuectl.workers.register(a_worker("w-1"))
    queuectl.workers.register(a_worker("w-2", queues=("gpu",)))
    queuectl.workers.register(a_worker("w-3", queues=("gpu",), process=a_process(pid=7)))
    queuectl.gone.append(a_process(pid=7))
    count = {it["queue"]: it["workers"] for it in queuectl("queue", "list", "--output", "json").document}
    assert count == {"gpu": 2, "plain": 1}
    queuectl("queue", "set", "gpu", "reserved=true")
    assert queuectl("queue", "show", "gpu", "--output", "json").document["workers"] == 1


def test_jobs_that_need_labels_which_no_live_worker_has_are_told(queuectl: CommandLine) -> None:
    queuectl.workers.register(a_worker("w-1", labels=("gpu",)))
    queuectl.jobs.add([a_job("a", queue="mail", needs=("gpu",)), a_job("b", queue="mail")])
    assert queuectl("queue", "list").lines[0].split("\t")[-1] == "open"
    queuectl.jobs.add([a_job("c", queue="mail", needs=("gpu", "zone=eu"))])
    assert queuectl("queue", "list").lines[0].split("\t")[-1] == "no live worker has gpu, zone=eu"
    assert queuectl("queue", "show", "mail", "--output", "json").document["lanes"] == [
        {"needs": [], "waiting": 1, "workers": 1},
        {"needs": ["gpu"], "waiting": 1, "workers": 1},
        {"needs": ["gpu", "zone=eu"], "waiting": 1, "workers": 0},
    ]


def test_a_new_job_of_a_reserved_queue_that_no_worker_names_is_told(queuectl: CommandLine) -> None:
    queuectl.workers.register(a_worker())
    queuectl("queue", "set", "big", "reserved=true")
    answer = queuectl("enqueue", "--queue", "big", "-c", "make")
    assert answer.err == "no live worker serves queue big: `queuectl worker start --queue big` starts one\n"


def test_status_has_the_queues_and_the_pause_of_all(queuectl: CommandLine) -> None:
    assert queuectl("status", "--output", "json").document["pause"] is None
    queuectl("pause", "--all", "--reason", "upgrade", "--for", "1h")
    document = queuectl("status", "--output", "json").document
    assert document["pause"] == {
        "at": "2030-01-31T12:00:00.000000Z",
        "by": "ann@web-1",
        "until": "2030-01-31T13:00:00.000000Z",
        "reason": "upgrade",
    }
    assert document["queues"] == []
    add(queuectl, "api")
    assert [it["queue"] for it in queuectl("status", "--output", "json").document["queues"]] == ["api"]
    assert "pause\tann@web-1\t2030-01-31T13:00:00.000000Z\tupgrade" in queuectl("status").lines


# Moves.


def test_waiting_jobs_are_moved_and_counted(queuectl: CommandLine) -> None:
    jobs = add(queuectl, "api", "api", "api")
    queuectl.start_next()
    assert said(queuectl, "queue", "move", "api", "--to", "slow", "--yes") == [
        "moved 2 jobs from queue api to queue slow: 2 jobs wait there"
    ]
    assert [queuectl.jobs.find(it).queue for it in jobs] == ["api", "slow", "slow"]


def test_only_those_of_a_state_are_moved(queuectl: CommandLine) -> None:
    queuectl.jobs.add([a_job("a", queue="api"), a_job_that_is(State.FAILED, job_id="b", queue="api")])
    document = queuectl(
        "queue", "move", "api", "--to", "slow", "--state", "failed", "--yes", "--output", "json"
    ).document
    assert document == {"moved": 1, "from": "api", "to": "slow"}
    assert [queuectl.jobs.find(it).queue for it in "ab"] == ["api", "slow"]


def test_a_move_to_a_paused_queue_says_so(queuectl: CommandLine) -> None:
    add(queuectl, "api")
    queuectl("pause", "slow")
    answer = queuectl("queue", "move", "api", "--to", "slow", "--yes")
    assert answer.err == "note: queue slow is paused: `queuectl queue resume slow`\n"


def test_a_move_asks_before_and_without_a_terminal_it_wants_yes(
    queuectl: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    [job] = add(queuectl, "api")
    answer = queuectl("queue", "move", "api", "--to", "slow")
    assert (answer.code, "without a terminal to ask on, give --yes too" in answer.err) == (2, True)
    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    answer = queuectl("queue", "move", "api", "--to", "slow", stdin=b"n\n")
    assert "Move 1 job from queue api to queue slow?" in answer.err
    assert queuectl.jobs.find(job).queue == "api"
    queuectl("queue", "move", "api", "--to", "slow", stdin=b"y\n")
    assert queuectl.jobs.find(job).queue == "slow"


def test_a_move_to_the_same_queue_is_refused(queuectl: CommandLine) -> None:
    assert queuectl("queue", "move", "api", "--to", "api", "--yes").code == 2


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


# Forgotten queues.


def test_a_queue_is_forgotten_with_its_settings(queuectl: CommandLine) -> None:
    queuectl("queue", "set", "old", "concurrency=1", "max-retries=9")
    assert said(queuectl, "queue", "forget", "old") == [
        "forgot queue old: it has no limits, settings or pause any more"
    ]
    assert (queuectl.queue.queues.all(), queuectl.queue.config.by_queue()) == ({}, {})
    assert queuectl("queue", "forget", "old").code == 3


def test_a_queue_in_which_jobs_wait_is_not_forgotten(queuectl: CommandLine) -> None:
    add(queuectl, "api")
    answer = queuectl("queue", "forget", "api")
    assert answer.code == 4
    assert answer.err == (
        "error: queue api cannot be forgotten: 1 of its jobs waits or runs\n"
        "hint: `queuectl queue move api --to QUEUE` moves those that wait\n"
    )


def test_the_name_of_all_queues_is_nobodys(queuectl: CommandLine) -> None:
    queuectl("pause", "--all")
    assert EVERY in queuectl.queue.queues.all()
    assert queuectl("queue", "list", "--output", "json").document == []
