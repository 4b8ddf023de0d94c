from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain.errors import InvalidSetting
from queuectl.domain.policy import SETTINGS, Policy, checked, setting
from tests.builders import HOUR, SECOND, a_policy


def test_the_default_policy_is_the_documented_one() -> None:
    policy = Policy.of({})
    assert [policy.backoff.after(n) for n in (1, 2, 3, 12)] == [2 * SECOND, 4 * SECOND, 8 * SECOND, HOUR]
    assert policy.backoff.jitter == 0
    assert (policy.max_retries, policy.max_losses, policy.output_limit) == (3, 3, 1_048_576)
    assert (policy.default_timeout, policy.lease, policy.kill_grace) == (None, 30 * SECOND, 5 * SECOND)


@pytest.mark.parametrize("key", SETTINGS)
def test_every_default_is_what_its_own_check_would_store(key: str) -> None:
    assert checked(key, SETTINGS[key].default) == SETTINGS[key].default


@pytest.mark.parametrize(
    ("key", "said", "stored"),
    [
        ("max-retries", " 007 ", "7"),
        ("max-retries", "0", "0"),
        ("backoff-base", "1.50", "1.5"),
        ("backoff-base", "1.2345678", "1.2345678"),
        ("backoff-base", "1e2", "100"),
        ("backoff-jitter", "-0", "0"),
        ("backoff-max", "90", "1m30s"),
        ("default-timeout", "None", "none"),
        ("default-timeout", "null", "none"),
        ("output-limit", "67108864", "67108864"),
        ("lease", "2000ms", "2s"),
        ("kill-grace", "0", "0s"),
    ],
)
def test_a_value_is_stored_in_its_normal_form(key: str, said: str, stored: str) -> None:
    assert checked(key, said) == stored


@pytest.mark.parametrize(
    ("key", "said"),
    [
        *(("max-retries", said) for said in ("-1", "1001", "1.5", "", "many", "٣", "1_0", "9" * 5000)),
        *(("backoff-base", said) for said in ("0.99", "1001", "nan", "inf", "-2", "two", "1_0", "٣")),
        *(("backoff-max", said) for said in ("366d", "-1s", "none")),
        *(("backoff-jitter", said) for said in ("1.01", "-0.1")),
        *(("default-timeout", said) for said in ("0", "0.0001", "366d")),
        *(("output-limit", said) for said in ("67108865", "1MiB")),
        *(("max-losses", said) for said in ("0", "1001")),
        *(("lease", said) for said in ("1.9s", "61m", "none")),
        *(("kill-grace", said) for said in ("61m", "")),
    ],
    ids=lambda text: text[:20],
)
def test_a_value_out_of_its_range_is_refused_by_the_name_of_its_key(key: str, said: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        checked(key, said)
    assert refused.value.message.startswith(f"{key} must be ")
    assert refused.value.hint == f"{key}: {SETTINGS[key].meaning}"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("max_retries", "max-retries"), ("MAX-RETRIES", "max-retries"), ("backof-base", "backoff-base")],
)
def test_a_key_that_does_not_exist_names_the_one_that_was_meant(said: str, meant: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        setting(said)
    assert refused.value.message == f"there is no setting {said}"
    assert refused.value.hint == f"did you mean {meant}?"


def test_a_key_like_no_other_names_them_all() -> None:
    with pytest.raises(InvalidSetting) as refused:
        setting("colour")
    assert all(key in (refused.value.hint or "") for key in SETTINGS)


@given(st.sampled_from(sorted(SETTINGS)), st.text() | st.floats().map(str) | st.integers().map(str))
def test_what_is_stored_is_stored_the_same_again_and_makes_a_policy(key: str, said: str) -> None:
    try:
        stored = checked(key, said)
    except InvalidSetting:
        return
    assert checked(key, stored) == stored
    Policy.of({key: stored})


def test_a_stored_none_means_no_timeout() -> None:
    assert a_policy(default_timeout="none").default_timeout is None
    assert a_policy(default_timeout="1h30m").default_timeout == timedelta(minutes=90)
