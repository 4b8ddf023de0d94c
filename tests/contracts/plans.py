"""How a database runs the statements that it was calls: what of it grows with all that the queue holds."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from psycopg import sql

from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.query import Query
from queuectl.adapters.sql.engine.transactions import Dialect, Driver
from tests.contracts.recording import Call

SMALL = {"workers", "config", "lanes", "queues", "jobs_suspect"}
"""Tables and indexes that stay small, however much there is to do."""

MANY = 100
"""Rows from which on PostgreSQL's estimate of a sort is worth a word; SQLite estimates none."""

LONG = 10
"""Tables in a statement, each as often as it is read, from which on planning it takes longer than running it."""

PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")

DECIDED = 6
"""The use of a prepared statement at which PostgreSQL decides whether it keeps one plan for all values."""

_SUBQUERY = re.compile(r"(?:CO-ROUTINE|MATERIALIZE) (\S+)")
_SCAN = re.compile(r"SCAN (?!.*(?:CONSTANT ROW|VALUES CLAUSE|VIRTUAL TABLE))(\S+)(?: USING INDEX (\S+))?")


class Finding(NamedTuple):
    """What is questionable in the plan of a statement, given by its name and shape or, made for a batch, its text."""

    statement: str
    plan: str


def findings(dialect: Dialect, calls: Iterable[Call]) -> set[Finding]:
    """What is questionable in the plans of these statements, each as for the first values that it came with."""
    made = [it for it in vars(queries).values() if isinstance(it, Query) and dialect.language in it.texts]
    names = {query.texts[dialect.language]: query.name for query in made}
    first: dict[str, Call] = {}
    is_reading = set[str]()
    begin = ""
    for each in calls:
        if each.text.startswith(PLANNED):
            first.setdefault(each.text, each)
            is_reading |= {each.text} if begin == dialect.begin_reading else set()
        elif each.text.startswith("BEGIN"):
            begin = each.text
    questionable = {"sqlite": _of_sqlite, "postgresql": _of_postgresql}[dialect.language]
    driver = dialect.connect()
    try:
        found = [
            (text, plan) for text, each in first.items() for plan in questionable(driver, each, text in is_reading)
        ]
        return {Finding(names.get(text) or _name_of_search(text), plan) for text, plan in found}
    finally:
        driver.close()


def _name_of_search(text: str) -> str:
    """A search is composed for each call: it is named for how many states and queues it asks for, and its order."""
    return f"search {text.count('jobs.state =')} {text.count('jobs.queue =')} {'jobs.finished_at DESC' in text}"


def _of_sqlite(driver: Driver, call: Call, _is_reading: bool) -> Iterator[str]:
    lines = [str(row[3]) for row in _rows(driver, f"EXPLAIN QUERY PLAN {call.text}", call.values[0])]
    subqueries = {found[1] for line in lines if (found := _SUBQUERY.match(line))}
    for line in lines:
        if "TEMP B-TREE" in line:
            yield "sorts"
        elif (found := _SCAN.match(line)) and not {found[1], found[2]} & (SMALL | subqueries):
            yield f"walks {found[1]}"


def _of_postgresql(driver: Driver, call: Call, is_reading: bool) -> Iterator[str]:
    """Whoever writes has plans for any values, whoever reads for the values that are asked for."""
    _rows(driver, f"SET plan_cache_mode = {'auto' if is_reading else 'force_generic_plan'}")
    numbers = iter(range(1, call.text.count("%s") + 1))
    _rows(driver, "PREPARE looked_at AS " + re.sub("%s", lambda _: f"${next(numbers)}", call.text))
    values = ", ".join(sql.Literal(value).as_string(None) for value in call.values[0])
    for _ in range(DECIDED):
        [[explained]] = _rows(driver, f"EXPLAIN (FORMAT JSON) EXECUTE looked_at {f'({values})' if values else ''}")
        nodes = list(_nodes(cast("Sequence[Mapping[str, Any]]", explained)[0]["Plan"]))
        for node in nodes:
            yield from _of_node(node)
    [[keeps_a_plan]] = _rows(driver, "SELECT generic_plans > 0 FROM pg_prepared_statements WHERE name = 'looked_at'")
    if not keeps_a_plan and sum("Relation Name" in node for node in nodes) >= LONG:
        yield "is planned each time"
    _rows(driver, "DEALLOCATE looked_at")


def _of_node(node: Mapping[str, Any]) -> Iterator[str]:
    index = node.get("Index Name")
    table = index if index in SMALL else node.get("Relation Name", index)
    is_walk = "Index" in node["Node Type"] and "Index Cond" not in node
    if (is_walk or node["Node Type"] == "Seq Scan") and table not in SMALL:
        yield f"walks {table}"
    if "Sort" in node["Node Type"] and node["Plan Rows"] > MANY:
        yield "sorts"


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _rows(driver: Driver, text: str, values: Sequence[object] = ()) -> Sequence[Sequence[object]]:
    cursor = driver.cursor()
    cursor.execute(text, *([values] if values else []))
    return cursor.fetchall() if text.startswith(("EXPLAIN", "SELECT")) else ()
