"""The labels of workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.adapters.host.identity import machine_labels
from queuectl.domain.worker import BUILT_IN, LABEL, MAX_LABELS, labels_of, name_of, with_built_in

HERE = ("host=web-1", "os=linux", "arch=x86_64")
LABELS = st.from_regex(LABEL, fullmatch=True).map(str)


@given(st.lists(LABELS, max_size=MAX_LABELS))
def test_they_have_one_order_in_which_each_is_once(labels: list[str]) -> None:
    found = labels_of(labels)
    assert list(found) == sorted(set(labels))
    assert labels_of([*found, *labels]) == found


@pytest.mark.parametrize("text", ["", "a b", "a=b=c", "=eu", "zone=", "é", "a\n", "x" * 65, "x=" + "y" * 65, "a,b"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be labels such as gpu or zone=eu"):
        labels_of([text])


def test_a_worker_has_those_that_it_was_given_and_those_of_its_machine() -> None:
    assert with_built_in(["gpu", "zone=eu"], HERE) == ("arch=x86_64", "gpu", "host=web-1", "os=linux", "zone=eu")


def test_what_it_was_given_wins_as_in_a_container_whose_host_name_says_nothing() -> None:
    assert with_built_in(["host=web-7"], HERE) == ("arch=x86_64", "host=web-7", "os=linux")


def test_a_host_whose_name_is_no_label_goes_without() -> None:
    assert with_built_in([], ["host=a b", "os=linux"]) == ("os=linux",)


def test_this_machine_has_all_that_are_built_in() -> None:
    assert {name_of(label) for label in machine_labels()} == BUILT_IN
