"""Mistakes in database URLs: named in plain words, and no password repeated, however it was written."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.adapters.sql.postgresql.connection import display_name
from queuectl.adapters.sql.sqlite.connection import path_of
from queuectl.domain.errors import DatabaseUnreachable


def mistake(url: str) -> tuple[str, str]:
    """What is said to be wrong with the URL, after its name, and the next step."""
    with pytest.raises(DatabaseUnreachable) as refused:
        display_name(url) if url.startswith("postgres") else path_of(url)
    return refused.value.message.removeprefix("the database URL ").removeprefix(f"the SQLite URL {url} "), (
        refused.value.hint or ""
    )


class TestPostgreSQL:
    @pytest.mark.parametrize(
        ("parameters", "said"),
        [
            ("sslmod=require", "has an unknown parameter sslmod: did you mean sslmode?"),
            ("SSLMODE=require", "has an unknown parameter SSLMODE: did you mean sslmode?"),
            (
                "sslmode=require&conect_timeout=3",
                "has an unknown parameter conect_timeout: did you mean connect_timeout?",
            ),
            ("zzzzzzzz=1", "has an unknown parameter zzzzzzzz"),
            ("=1", "has an unknown parameter"),
            ("a b=1", "has an unknown parameter"),
            ("sslmode=require&", "has an unknown parameter"),
            ("sslmode", "has a parameter sslmode without a value"),
            ("options=a=b", "has a second = in its parameter options"),
            ("sslmode=%zz", "has a % in its parameters that begins no escape"),
        ],
    )
    def test_a_parameter_that_is_wrong_is_named(self, parameters: str, said: str) -> None:
        for place in ("h/db", "u:pw@h/db", "h", "/db", "h:5432,i/db"):
            assert mistake(f"postgresql://{place}?{parameters}")[0] == said

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("postgresql://h:abc/db", "has a port that is no number from 1 to 65535"),
            ("postgresql://h:0/db", "has a port that is no number from 1 to 65535"),
            ("postgresql://h:65536/db", "has a port that is no number from 1 to 65535"),
            ("postgresql://h:1,i:x/db", "has a port that is no number from 1 to 65535"),
            ("postgresql://h/db?port=x", "has a port that is no number from 1 to 65535"),
            ("postgresql://h%2/db", "has a % in its host that begins no escape"),
            ("postgresql://u:p%@h/db", "has a % in its user or password that begins no escape"),
            ("postgresql://h/d%00b", "has a % in its database that begins no escape"),
            ("postgresql://h/caf\udce9", "has bytes that are no UTF-8"),
            ("postgresql://[::1/db", "has an IPv6 address without its ]"),
        ],
    )
    def test_a_part_that_is_wrong_is_named(self, url: str, said: str) -> None:
        assert mistake(url)[0] == said

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://u:SECRET@SECRET@h/db",
            "postgresql://u:SECRET/SECRET@h/db",
            "postgresql://u:1/SECRET@h/db",
            "postgresql://u:SECRET/x?SECRET=1@h/db",
            "postgresql://u:1/x?SECRET=1@h/db",
            "postgresql://u:SECRET",
            "postgresql://u:SECRET%@h/db",
            "postgresql://u:[SECRET@h:x/db",
            "postgresql://h/db?password=SECRET&x",
            "postgresql://h/db?password=SECRET=SECRET",
            "postgresql://h/db?SECRET SECRET=1",
        ],
    )
    def test_a_password_that_was_not_escaped_is_not_repeated(self, url: str) -> None:
        assert "SECRET" not in "".join(mistake(url))

    @given(st.text(min_size=8, max_size=20).map(lambda text: text + "SECRET"), st.booleans())
    def test_no_password_is_ever_repeated(self, password: str, is_escaped: bool) -> None:
        url = f"postgresql://user:{quote(password, safe='') if is_escaped else password}@host/db?sslmod=x"
        assert "SECRET" not in "".join(mistake(url))

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("postgresql://u:p%40%2F@h:5432/db?sslmode=require&application_name=a%20b", "postgresql://u@h:5432/db"),
            ("postgresql://h1:1,h2:2/db?target_session_attrs=any", "postgresql://h1,h2:1,2/db"),
            ("postgresql:///db?host=/tmp&port=5433", "postgresql:///tmp:5433/db"),
            ("postgresql://[::1]:5432/db?ssl=true", "postgresql://::1:5432/db"),
            ("postgresql://?service=queue", "postgresql:///?service=queue"),
            ("postgres://u:p?q&r=s@h", "postgresql://u@h/"),
            ("postgresql://", "postgresql:///"),
        ],
    )
    def test_what_is_right_is_taken(self, url: str, name: str) -> None:
        assert display_name(url) == name


class TestSqlite:
    @pytest.mark.parametrize(
        ("url", "said", "hint"),
        [
            ("sqlite:///x.db?mode=ro", "takes no parameters, and this one has mode", "leave them out"),
            (
                "sqlite:///x.db?mode=ro&cache=shared",
                "takes no parameters, and this one has mode, cache",
                "leave them out",
            ),
            ("sqlite:///what?", "takes no parameters, and this one has a ?", "write a ? in a name as %3F"),
            ("sqlite://path.db", "has too few slashes", "write sqlite:///path.db"),
            ("sqlite:/path.db", "has too few slashes", "write sqlite:////path.db"),
            ("sqlite:relative.db", "has too few slashes", "write sqlite:///relative.db"),
            ("sqlite://", "has too few slashes", "write sqlite:///queue.db"),
            ("sqlite:///100%.db", "has a % that begins no escape", "write a % in a name as %25"),
            ("sqlite:///a%00b", "has a % that begins no escape", "write a % in a name as %25"),
            ("sqlite:///", "names no file", "write sqlite:////absolute/path.db"),
            ("sqlite:////", "names no file", "write sqlite:////absolute/path.db"),
            ("sqlite:///:memory:", "names no file", "write sqlite:////absolute/path.db"),
        ],
    )
    def test_what_is_wrong_is_named(self, url: str, said: str, hint: str) -> None:
        assert mistake(url)[0] == said
        assert hint in mistake(url)[1]

    @pytest.mark.parametrize(
        ("url", "path"), [("sqlite:////a%20b/q.db", "/a b/q.db"), ("sqlite:////%C3%A9%E9%3F", "/é\udce9?")]
    )
    def test_what_is_right_is_taken(self, url: str, path: str) -> None:
        assert path_of(url) == Path(path)
