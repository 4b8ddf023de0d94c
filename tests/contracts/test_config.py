"""What every ConfigRepository promises; see its docstrings in queuectl.domain.ports."""

from queuectl.domain.ports.config import ConfigRepository


def test_a_new_queue_has_nothing_set(config: ConfigRepository) -> None:
    assert config.stored() == {}


def test_the_last_stored_text_stands(config: ConfigRepository) -> None:
    config.store("lease", "30s")
    config.store("max-retries", "3")
    config.store("lease", "1m")
    assert config.stored() == {"lease": "1m", "max-retries": "3"}


def test_a_cleared_key_is_not_set(config: ConfigRepository) -> None:
    config.store("lease", "30s")
    config.clear("lease")
    config.clear("never-set")
    assert config.stored() == {}


def test_a_queue_has_settings_of_its_own_beside_those_of_all(config: ConfigRepository) -> None:
    config.store("max-retries", "3")
    config.store("max-retries", "9", "api")
    config.store("backoff-base", "1.5", "mail")
    config.clear("backoff-base", "api")
    assert (config.stored(), config.stored("api"), config.stored("new")) == (
        {"max-retries": "3"},
        {"max-retries": "9"},
        {},
    )
    assert config.by_queue() == {"": {"max-retries": "3"}, "api": {"max-retries": "9"}, "mail": {"backoff-base": "1.5"}}
    config.clear("max-retries", "api")
    assert config.stored("api") == {}
