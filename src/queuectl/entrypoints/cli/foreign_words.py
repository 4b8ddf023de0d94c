"""Words that other tools have taught people's fingers, and what queuectl calls the same thing."""

from collections.abc import Mapping, Sequence

from queuectl.domain.errors import nearest

STATES = ("pending", "processing", "completed", "failed", "dead", "cancelled")

ANYWHERE = ""
"""The key of options that mean the same after every command."""

COMMANDS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    ANYWHERE: (
        ("add submit push put run spool new create schedule at sbatch qsub exec do job", "enqueue", "adds a job"),
        ("ls jobs squeue atq qstat search find", "list", "lists the jobs"),
        ("logs log tail output cat follow stdout stderr", "info ID", "shows what a job wrote"),
        ("describe inspect view details get history attempts", "info ID", "shows everything about a job"),
        ("kill abort scancel qdel atrm terminate", "cancel ID", "stops a job that waits or runs"),
        (
            "rm remove del delete",
            "cancel ID",
            "stops a job that waits or runs; `queuectl dlq remove ID` deletes a dead one",
        ),
        ("ps top watch running summary st stat", "status", "shows the jobs by state, and the workers"),
        ("rerun requeue restart again redo replay", "retry ID", "runs a job again that has ended"),
        ("start up work serve daemon workers", "worker start", "starts workers"),
        ("stop down shutdown quit exit halt", "worker stop", "stops the workers of this machine"),
        ("dead failed failures dead-letter deadletter graveyard morgue", "dlq list", "lists the dead jobs"),
        ("purge clear flush prune clean empty", "dlq remove --all", "deletes the dead jobs"),
        ("settings setting set conf configure options policy env", "config show", "shows all settings"),
        ("stats statistics report performance", "metrics", "shows what got done, and how fast"),
        ("check health healthcheck ping verify diagnose", "doctor", "checks the database and this installation"),
        ("migrate setup install upgrade initdb initialize initialise", "init", "makes the database"),
        ("copy import export dump backup restore move mv", "transfer", "copies a queue to another database"),
        ("version", "--version", "prints the version"),
        ("man usage", "help", "shows the help"),
        ("suspend hold freeze", "pause QUEUE", "has no job of a queue start"),
        ("drain", "queue drain QUEUE", "pauses a queue, and waits until nothing of it runs"),
        ("unpause continue release unhold", "resume QUEUE", "opens a queue again"),
        ("queues limits", "queue list", "lists the queues"),
        ("cron every repeat", "enqueue", "adds a job; nothing repeats by itself, but cron can call this"),
        ("count size length depth web ui gui dashboard", "status", "shows the jobs by state, and the workers"),
    ),
    "worker": (
        ("list ls ps show info top", "worker status", "shows the live workers"),
        ("run up work add spawn create launch new", "worker start", "starts workers"),
        ("kill", "worker stop --force", "stops workers and the commands that they run"),
        ("down quit shutdown rm remove halt drain terminate", "worker stop", "stops workers when their jobs are done"),
        ("restart reload", "worker stop", "and then `queuectl worker start` is a restart"),
    ),
    "dlq": (
        ("ls show status jobs get", "dlq list", "lists the dead jobs"),
        ("info inspect view describe", "info ID", "shows everything about a job"),
        ("requeue rerun replay restart redrive resubmit run", "dlq retry ID", "runs dead jobs again"),
        ("rm delete del purge clear empty drop flush prune", "dlq remove ID", "deletes dead jobs"),
        ("count size length depth", "status", "shows how many jobs are dead"),
    ),
    "queue": (
        ("ls all status", "queue list", "lists the queues"),
        ("info get view describe inspect", "queue show QUEUE", "shows everything about a queue"),
        ("limit throttle configure config edit change update", "queue set QUEUE KEY=VALUE", "limits a queue"),
        ("stop suspend hold", "queue pause QUEUE", "has no job of a queue start"),
        ("start unpause continue open", "queue resume QUEUE", "opens a queue again"),
        ("rm remove delete del", "queue forget QUEUE", "removes the settings of a queue"),
        ("mv rename", "queue move QUEUE --to QUEUE", "moves the waiting jobs to another queue"),
        ("reset clear", "queue unset QUEUE KEY", "removes a limit or a setting of a queue"),
    ),
    "config": (
        ("list ls all view print describe status", "config show", "shows all settings"),
        ("add put edit change update", "config set KEY VALUE", "changes a setting"),
        ("rm remove delete del reset clear default", "config unset KEY", "puts a setting back to its default"),
        ("read cat value", "config get KEY", "prints a setting"),
    ),
}
"""By group: words, the right command line after `queuectl`, and what that does."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    ANYWHERE: {
        "--json -j": "--output json",
        "--jsonl": "--output jsonl",
        "--table": "--output table",
        "--plain": "--output plain",
        "--quiet --ids --ids-only": "--output id",
        "-o --format --out -F": "--output",
        "--db --database --url --dsn --db-path -d": "--database-url",
        "--no-color --no-colour": "--color never",
        "--colour": "--color",
        "-V -v": "--version",
        "-?": "--help",
        "-q": "--queue",
    },
    "enqueue": {
        "-p --prio --nice": "--priority",
        "-n --name --job-id --label": "--id",
        "--retries --retry -r --max-attempts --attempts": "--max-retries",
        "--at --when --start --run-after --schedule --date": "--run-at",
        "--in --wait --sleep --defer": "--delay",
        "-e --environment": "--env",
        "-w --workdir --working-directory --working-dir --dir --directory --chdir -C": "--cwd",
        "-t --time-limit --max-time --ttl": "--timeout",
        "--shell --cmd": "--command",
        "-f --file": "@FILE",
    },
    "worker start": {
        "-n -w --workers --num-workers --worker-count --processes --procs": "--count",
        "-c -j --jobs --threads --slots --parallel --parallelism": "--concurrency",
        "--queues": "--queue",
        "-f --fg --no-daemon --nodaemon --wait": "--foreground",
    },
    "worker stop": {"-f --kill --now --hard": "--force", "-t --wait --grace": "--timeout"},
    "list": {
        "-s --status --states": "--state",
        "-n -l --max --count --head": "--limit",
        "-a --all": "--limit 0",
        **{f"--{state}": f"--state {state}" for state in STATES},
        "--running": "--state processing",
        "--queues": "--queue",
    },
    "info": {"--output-only --logs --stdout": "--raw", "-n": "--attempt"},
    "cancel": {"--async --detach -n": "--no-wait"},
    "dlq list": {"-n -l": "--limit", "-a --all": "--limit 0"},
    "dlq retry": {"-a": "--all"},
    "dlq remove": {"-a": "--all", "-f --force": "--yes"},
    "metrics": {"--last --window --period --hours": "--since", "-a --all --details": "--detailed"},
}
"""By command: options as other tools write them, and ours. Those of `ANYWHERE` are looked up second."""


def command_for(word: str, group: str) -> tuple[str, str] | None:
    """The command line that somebody meant who said `word` in that group (empty: the program), and what it does."""
    for words, command, does in COMMANDS.get(group, ()):
        if word.lower() in words.split():
            return command, does
    return None


def hint_for_argument(argument: str, command: str) -> str | None:
    """The advice for an argument after a command (`worker start`) that takes none, or no more."""
    if argument == "help":
        return f"`queuectl help {command}` shows its help"
    if command == "list" and argument.lower() in STATES:
        return f"`queuectl list --state {argument.lower()}` lists those jobs"
    if command in ("list", "status", "metrics", "dlq list"):
        return f"`queuectl info {argument}` shows a job with that id"
    if command in ("info", "show"):
        return "it shows one job; `queuectl list` shows many"
    if command == "worker start" and argument.isdecimal():
        return f"`queuectl worker start --count {argument}` starts that many"
    return None


def option_for(option: str, command: str, known: Sequence[str]) -> str | None:
    """The option that is meant by one that the command (`worker start`) does not have; `known` are those it has."""
    theirs: dict[str, str] = {}
    for table in (OPTIONS[ANYWHERE], OPTIONS.get(command, {})):
        for options, ours in table.items():
            if not ours.startswith("-") or ours.split()[0] in known:
                theirs |= dict.fromkeys(options.split(), ours)
    # A word that is only a little like one of another tool is most likely neither.
    own = {name: name for name in known}
    return theirs.get(option) or _nearest(option, own, likeness=0.6) or _nearest(option, theirs, likeness=0.8)


def _nearest(option: str, meant: Mapping[str, str], *, likeness: float) -> str | None:
    """The meaning of the option that is most like this one, the dashes left aside: they are alike in all."""
    words = {name.removeprefix("--"): ours for name, ours in meant.items() if name.startswith("--")}
    return words.get(nearest(option.lstrip("-"), words, likeness=likeness) or "")
