"""The URL of a PostgreSQL database for those who must not have its password."""

import os
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo


def without_secrets(url: str, environ: Mapping[str, str] = os.environ) -> str:
    """A URL that leads where this one does with these variables of libpq's, less what libpq takes for secret.

    A service stays a name: what it stands for is in its file, passwords perhaps.
    """
    options = Conninfo.get_defaults()
    given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    known = dict(given)
    if "service" not in given and not environ.get("PGSERVICE"):
        for option in options:
            variable = (option.envvar or b"").decode()
            known.setdefault(option.keyword.decode(), environ.get(variable, ""))
    elif "service" not in given:
        known["service"] = environ["PGSERVICE"]
    secret = {option.keyword.decode() for option in options if option.dispchar == b"*"}
    kept = {name: value for name, value in known.items() if value and name not in secret}
    return url if kept == given else "postgresql:///?" + urlencode(kept, quote_via=quote)
