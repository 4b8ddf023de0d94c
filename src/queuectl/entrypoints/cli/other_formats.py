"""Input that is no JSON in UTF-8, named for what it is, with what makes JSON of it."""

import json
import re

from queuectl.domain.errors import InvalidJob

COMPRESSED = {
    b"\x1f\x8b": ("gzip", "zcat"),
    b"BZh": ("bzip2", "bzcat"),
    b"\xfd7zXZ\0": ("xz", "xzcat"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstdcat"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
"""The beginnings of compressed files: the program that made them, and one that reads them."""

YAML = r"---\s*|-(\s.*)?|[A-Za-z_]\w*:(\s.*)?"
HEADER = r"""["']?[A-Za-z_][\w ]*["']?([,;\t]["']?[A-Za-z_][\w ]*["']?)+"""
"""The first line of a table: names, and what separates them."""

ENCODINGS = {"utf-16": "UTF-16", "utf-16-le": "UTF-16LE", "utf-16-be": "UTF-16BE"}
ENCODINGS |= {name.replace("16", "32"): iconvs.replace("16", "32") for name, iconvs in ENCODINGS.items()}
"""The names that Python and iconv(1) have for them."""


def refuse_other_formats(content: bytes) -> None:
    """Raises InvalidJob for input that is sure to be something else; what may be JSON with mistakes passes."""
    _refuse_compressed(content)
    _refuse_wide_characters(content)
    if b"\0" in content:
        before = content[: content.index(b"\0")]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise InvalidJob(
            [f"line {line}: byte {column} is NUL, which no JSON has"],
            hint="a file that was being written during a crash may have such bytes; it is not whole then",
        )
    _refuse_text(content)


def _refuse_compressed(content: bytes) -> None:
    for magic, (name, reader) in COMPRESSED.items():
        if content.startswith(magic):
            raise InvalidJob([f"the input is compressed by {name}"], hint=f"{reader} FILE | queuectl enqueue -")


def _refuse_wide_characters(content: bytes) -> None:
    encoding = json.detect_encoding(content[:1000])
    if encoding not in ENCODINGS:
        return
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return
    if encoding in ("utf-16", "utf-32") or (not text.isspace() and "\0" not in text):  # a mark, or a guess
        name = ENCODINGS[encoding]
        raise InvalidJob(
            [f"the input is {name[:6]} text, and JSON is UTF-8"], hint=f"convert it with iconv -f {name} -t UTF-8"
        )


def _refuse_text(content: bytes) -> None:
    lines = [line for line in content.decode(errors="replace").splitlines() if line.strip()]
    if not lines or any(line.lstrip().startswith(("{", "[")) or _is_json(line) for line in lines):
        return
    first = lines[0].strip()
    if re.fullmatch(YAML, first):
        what, hint = "looks like YAML", "yq makes JSON of it: yq -o=json -I=0 FILE | queuectl enqueue -"
    elif len(lines) > 1 and re.fullmatch(HEADER, first):
        what, hint = "looks like CSV", "Miller makes JSON of it: mlr --icsv --ojsonl cat FILE | queuectl enqueue -"
    elif first.startswith("<"):
        what, hint = "looks like HTML or XML", "a file has one JSON document, or one on each line"
    else:
        start = json.dumps(first[:40] + ("…" if len(first) > 40 else ""), ensure_ascii=not first.isprintable())
        what = f"is no JSON, which begins with {{; it begins with {start}"
        hint = "jq makes a job of each line of commands: jq -Rc '{command: .}' FILE | queuectl enqueue -"
    raise InvalidJob([f"the input {what}"], hint=hint)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
