import queue
import threading
import time
from functools import partial

import pytest

from queuectl.adapters.processes import blocking_calls
from queuectl.adapters.processes.blocking_calls import BlockingCalls


def test_a_call_that_hangs_holds_up_those_behind_it_only_until_they_are_relieved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocking_calls, "PATIENCE", 0.01)
    calls, done, hung = BlockingCalls(), queue.SimpleQueue[str](), threading.Event()
    calls.begin(partial(hung.wait, 30))
    for name in "ab":
        calls.begin(partial(done.put, name))
    with pytest.raises(queue.Empty):
        done.get(timeout=0.05)
    assert calls.relieve()
    assert [done.get(timeout=10), done.get(timeout=10)] == ["a", "b"]
    assert not calls.relieve()
    hung.set()


def test_calls_share_a_thread_while_none_hangs() -> None:
    calls, threads = BlockingCalls(), queue.SimpleQueue[int]()
    for _ in range(20):
        calls.begin(lambda: threads.put(threading.get_ident()))
        calls.relieve()
    assert len({threads.get(timeout=10) for _ in range(20)}) == 1


def test_where_no_thread_is_to_be_had_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls, done = BlockingCalls(), queue.SimpleQueue[str]()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="Resource temporarily unavailable"):
            calls.begin(partial(done.put, "refused"))
    calls.begin(partial(done.put, "later"))
    assert done.get(timeout=10) == "later"
    time.sleep(0.01)
    assert done.empty()
