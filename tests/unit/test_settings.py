from pathlib import Path

import pytest

from queuectl.domain.errors import InvalidSetting
from queuectl.settings import config_file, load_settings

HOME = {"HOME": "/home/ann"}


def test_files_lie_where_the_xdg_specification_has_them_by_default() -> None:
    settings = load_settings(HOME)
    assert config_file(HOME) == Path("/home/ann/.config/queuectl/config.toml")
    assert settings.database_url == "sqlite:////home/ann/.local/share/queuectl/queue.db"
    assert settings.log_dir == Path("/home/ann/.local/state/queuectl/log")
    assert settings.spool_dir == Path("/home/ann/.local/state/queuectl/spool")


def test_the_xdg_variables_say_where_files_lie() -> None:
    settings = load_settings(HOME | {"XDG_DATA_HOME": "/data", "XDG_STATE_HOME": "/state"})
    assert config_file(HOME | {"XDG_CONFIG_HOME": "/etc/ann"}) == Path("/etc/ann/queuectl/config.toml")
    assert settings.database_url == "sqlite:////data/queuectl/queue.db"
    assert settings.spool_dir == Path("/state/queuectl/spool")


@pytest.mark.parametrize("base", ["", "config", "./config", "~/config"])
def test_an_xdg_variable_that_is_no_absolute_path_does_not_count(base: str) -> None:
    assert config_file(HOME | {"XDG_CONFIG_HOME": base}) == config_file(HOME)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "here"}])
def test_a_home_that_is_not_said_is_the_one_of_the_password_file(environ: dict[str, str]) -> None:
    assert config_file(environ).is_absolute()


def test_a_user_without_a_home_is_told_so_where_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(InvalidSetting, match="home"):
        config_file({})
    assert config_file({"QUEUECTL_CONFIG": "/etc/queue.toml"}) == Path("/etc/queue.toml")
