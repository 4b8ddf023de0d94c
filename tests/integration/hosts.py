"""Hosts with names, clocks and cables of their own, made of namespaces on this machine; they share its files.

A host can be cut off from the network without a word to anybody, and can lose its power. All that runs on it is in
its pid namespace, whose init reads from a pipe that only the tests' process holds: nothing outlives the tests.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.integration import forwarder
from tests.integration.driver import PATIENCE
from tests.integration.forwarder import PORT
from tests.integration.log import Log
from tests.requirements import NEW_HOST, program

SUBNET = "10.77.0"
SERVER = f"{SUBNET}.1"

# Waits for its network, runs the command, and tells it to stop gracefully when the pipe is closed.
INIT = """
echo "$1" >/proc/sys/kernel/hostname && echo up && read -r _ || exit 1
shift; "$@" >&2 & read -r _; kill -TERM $!; wait $!
"""

WRONG_CLOCK = """
import time, time_machine
time_machine.travel(time.time() + {seconds}, tick=True).start()
"""


class HostFailed(Exception):
    """A host, or the network between hosts, did not come to be; the message says what the system said."""


class Network:
    """A network of hosts that reach, at `url`, a server that is elsewhere."""

    def __init__(self, server_url: str, directory: Path) -> None:
        self._directory = directory
        self._hosts: list[Host] = []
        server = urlsplit(server_url)
        self.url = server._replace(netloc=f"{server.username}:{server.password}@{SERVER}:{PORT}").geturl()
        with Path("/proc/self/ns/net").open() as here:
            self._switch = _Namespaced(
                ["unshare", "--net"],
                [
                    sys.executable,
                    forwarder.__file__,
                    str(here.fileno()),
                    str(server.hostname),
                    str(server.port or PORT),
                ],
                log=directory / "forwarder.log",
                pass_fds=[here.fileno()],
            )
        try:
            self._switch.ip("link add lan type bridge", f"address add {SERVER}/24 dev lan", "link set lan up")
        except BaseException:
            self.close()
            raise

    def host(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], *, clock_error: timedelta = timedelta()
    ) -> "Host":
        """A host that runs a command; its Python programs see a clock that is wrong."""
        if clock_error:
            # libfaketime, which would do it to any program, breaks CPython's time.sleep (Debian's 0.9.10).
            customization = self._directory / f"{name}-clock"
            customization.mkdir()
            (customization / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=clock_error.total_seconds()))
            environ = {**environ, "PYTHONPATH": str(customization)}
        machine = _Namespaced(
            NEW_HOST,
            ["/bin/sh", "-c", INIT, "init", name, *command],
            log=self._directory / f"{name}.log",
            env=environ,
        )
        self._hosts.append(host := Host(name, self._switch, machine))
        host.install(f"{SUBNET}.{10 + len(self._hosts)}")
        return host

    def close(self) -> None:
        """Power off what still runs, and take the network down."""
        for host in self._hosts:
            host.power_off()
        self._switch.end()


class Host:
    """One host on a network."""

    def __init__(self, name: str, switch: "_Namespaced", machine: "_Namespaced") -> None:
        self.name = name
        self._switch = switch
        self._machine = machine

    def install(self, address: str) -> None:
        """Give it its address in the network, and have its command start."""
        self._switch.ip(
            f"link add {self.name} type veth peer name eth0 netns {self._machine.pid}", f"link set {self.name} up"
        )
        self._machine.ip("link set lo up", f"address add {address}/24 dev eth0", "link set eth0 up")
        self.plug_in()
        self._machine.say("go")

    @property
    def log(self) -> Log:
        """The output of its command."""
        return Log.at(self._machine.log)

    def plug_in(self) -> None:
        """Connect it to the network."""
        self._switch.ip(f"link set {self.name} master lan")

    def cut_off(self) -> None:
        """Lose all that it sends and all that is sent to it; neither side is told."""
        self._switch.ip(f"link set {self.name} nomaster")

    def power_off(self) -> None:
        """End everything on it at once; nobody is told that its connections are gone."""
        if self._machine.is_running:
            self.cut_off()
            self._machine.kill_init()
        self._machine.end()

    def stop(self) -> int:
        """Stop its command gracefully; how that exited."""
        return self._machine.end()


class _Namespaced:
    """A command in namespaces of its own: it says that it is up, and ends when its stdin does."""

    def __init__(
        self,
        namespaces: Sequence[str],
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [*namespaces, "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                cwd=log.parent,
                pass_fds=pass_fds,
                start_new_session=True,
                text=True,
            )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "up\n":
            self.end()
            raise HostFailed(log.read_text().strip())

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ip(self, *commands: str) -> None:
        """Change its network (ip-batch, ip(8))."""
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        done = subprocess.run(
            [*enter, str(program("ip")), "-batch", "-"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise HostFailed(done.stderr.strip())

    def kill_init(self) -> None:
        """With the init of a pid namespace, the kernel kills all that is in it (pid_namespaces(7))."""
        for init in psutil.Process(self.pid).children():
            init.kill()

    def end(self) -> int:
        """Close its stdin and wait for its end, which is brought about by force if it does not come; its exit code."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()  # takes the init along: --kill-child
            return self._process.wait()
