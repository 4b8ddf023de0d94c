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
