"""On which line each value of a TOML file stands, which `tomllib` does not say.

Reads only as much of the grammar as positions need: the text is known to be valid TOML.
"""

from __future__ import annotations

from bisect import bisect

Path = tuple[str | int, ...]


def line_numbers(text: str) -> dict[Path, int]:
    """Lines of a valid TOML text, counted from 1.

    Args:
        text: The file.

    Returns:
        For each table, key and element of an array, by its path such as `("body", 3, "kernel")`, the line on which it begins.
    """
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.ends = [at for at, character in enumerate(text) if character == "\n"]
        self.lines: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}  # arrays of tables and how many each has so far

    def document(self) -> dict[Path, int]:
        prefix: Path = ()
        while self.peek():
            if self.text.startswith("[[", self.at):
                name = self.resolved(self.key(2)[:-1]) + self.last
                number = self.tables.get(name, -1) + 1
                self.tables[name] = number
                self.lines.setdefault(name, self.line_of_key)
                prefix = (*name, number)
                self.lines[prefix] = self.line_of_key
                self.at += 2
            elif self.text[self.at] == "[":
                prefix = self.resolved(self.key(1))
                self.lines.setdefault(prefix, self.line_of_key)
                self.at += 1
            else:
                self.pair(prefix)
        return self.lines

    def line(self) -> int:
        return bisect(self.ends, self.at - 1) + 1

    def resolved(self, name: Path) -> Path:
        """A header's path; a name of an array of tables means its last one so far."""
        path: Path = ()
        for part in name:
            path = (*path, part)
            if path in self.tables:
                path = (*path, self.tables[path])
        return path

    def key(self, skip: int = 0) -> Path:
        """A key, dotted or not, up to what follows it."""
        self.at += skip
        self.peek()
        self.line_of_key = self.line()
        parts: list[str | int] = []
        while True:
            self.blanks()
            if self.text[self.at] in "\"'":
                begin = self.at
                self.string()
                parts.append(self.text[begin + 1 : self.at - 1])
            else:
                begin = self.at
                while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "_-"):
                    self.at += 1
                parts.append(self.text[begin : self.at])
            self.blanks()
            if self.at >= len(self.text) or self.text[self.at] != ".":
                self.last: Path = (parts[-1],)
                return tuple(parts)
            self.at += 1

    def pair(self, prefix: Path) -> None:
        path = prefix + self.key()
        self.lines.setdefault(path, self.line_of_key)
        self.at += 1  # the equals sign
        self.value(path)

    def value(self, path: Path) -> None:
        character = self.peek()
        if character in ('"', "'"):
            self.string()
        elif character == "[":
            self.at += 1
            number = 0
            while self.peek(also=",") != "]":
                self.lines[(*path, number)] = self.line()
                self.value((*path, number))
                number += 1
            self.at += 1
        elif character == "{":
            self.at += 1
            while self.peek(also=",") != "}":
                self.pair(path)
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        end = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(end)
        while len(end) == 3 and self.text.startswith(quote, self.at):  # up to two more quotes belong to the text
            self.at += 1

    def blanks(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def peek(self, also: str = "") -> str:
        """The next character that is no blank, line end or comment; empty at the end."""
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n#" + also:
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                self.at += 1
        return self.text[self.at] if self.at < len(self.text) else ""
