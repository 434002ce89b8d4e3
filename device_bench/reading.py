"""Reads JSON that somebody else wrote: each reader takes a value and where it stands, and returns it, or says what is wrong in one sentence.

A record's readers follow from the types of its fields, so that a table names only those whose range the type does not tell.
"""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Callable, Dict, Mapping, Sequence, Type, TypeVar, Union, get_args, get_origin, get_type_hints

Reader = Callable[[Any, str], Any]
T = TypeVar("T")

LONGEST_WHOLE, LARGEST = 2**63 - 1, 1e19  # what fits into 64 bits; more nanoseconds than any clock tells
DAY_NS = 24 * 3600 * 10**9
_MOST_NESTED = 20
_SHOWN = 40
_UNIONS = (Union, getattr(types, "UnionType", Union))


def parsed(text: str) -> Any:
    """A JSON document, without NaN and infinities.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError("it is no JSON (%s at character %d)" % (error.msg, error.pos)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except _NotFiniteError:
        raise
    except ValueError as error:
        raise ValueError("it holds a number with too many digits") from error


def of_schema(document: Any, schema: str) -> Dict[str, Any]:
    """The fields of a document that opens with its schema.

    Raises:
        ValueError: It has another schema, or none.
    """
    values = _object(document, "")
    if values.get("schema") != schema:
        raise ValueError("the schema is %s, not %r" % (_shown(values.get("schema")), schema))
    return {name: value for name, value in values.items() if name != "schema"}


class _NotFiniteError(ValueError):
    """NaN or an infinity, which JSON does not know and Python's reader takes all the same."""


def _no_constant(word: str) -> None:
    raise _NotFiniteError("it holds %s, which is no number of JSON" % word)


def whole(low: int = 0, high: int = LONGEST_WHOLE) -> Reader:
    """Reads whole numbers from `low` to `high`."""
    return _leaf("a whole number from %d to %d" % (low, high), lambda value: isinstance(value, int) and _is_number(value) and low <= value <= high)


def number(low: float = 0.0, high: float = LARGEST) -> Reader:
    """Reads finite numbers from `low` to `high`."""
    return _leaf("a number from %.6g to %.6g" % (low, high), lambda value: _is_number(value) and low <= value <= high)


def matching(pattern: str, what: str) -> Reader:
    """Reads text of one form, which `what` describes."""
    return _leaf(what, lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None)


def member(kind: Type[Enum]) -> Reader:
    """Reads the values of an enumeration."""
    values = [one.value for one in kind]
    read = one_of(*values)
    return lambda value, where: kind(read(value, where))


def one_of(*values: str) -> Reader:
    """Reads some words."""
    return _leaf("one of %s" % ", ".join(filter(None, values)), lambda value: isinstance(value, str) and value in values)


def optional(read: Reader) -> Reader:
    """Reads what may be null."""
    return lambda value, where: None if value is None else read(value, where)


def sequence(read: Reader, least: int = 0, most: int = LONGEST_WHOLE) -> Reader:
    """Reads lists as tuples."""

    def items(value: Any, where: str) -> Any:
        return tuple(read(item, "%s[%d]" % (where, index)) for index, item in enumerate(_list(value, where, least, most)))

    return items


def whole_numbers(low: int, high: int) -> Reader:
    """Reads lists of many whole numbers, quickly."""
    one_by_one = sequence(whole(low, high))

    def numbers(value: Any, where: str) -> Any:
        items = _list(value, where)
        if set(map(type, items)) == {int} and low <= min(items) and max(items) <= high:
            return tuple(items)
        return one_by_one(items, where)  # which says which of them is wrong

    return numbers


def interval(low: float, high: float) -> Reader:
    """Reads a pair of numbers, the lower first."""
    read = sequence(number(low, high), 2, 2)

    def ends(value: Any, where: str) -> Any:
        found = read(value, where)
        if found[0] > found[1]:
            raise ValueError("%s begins above its end" % where)
        return found

    return ends


def mapping(key: Reader, read: Reader) -> Reader:
    """Reads objects whose names are of one kind and whose values of another."""
    return lambda value, where: {key(name, where): read(item, _inside(where, name)) for name, item in _object(value, where).items()}


def document(required: Sequence[str] = (), **readers: Reader) -> Reader:
    """Reads objects that grow from version to version: names that are known have their readers, others any plain value.

    Args:
        required: Names that must be there.
        readers: Name to reader.
    """

    def read(value: Any, where: str) -> Any:
        values = _object(value, where)
        _complete(values, required, where)
        return {text(name, where): readers.get(name, plain)(item, _inside(where, name)) for name, item in values.items()}

    return read


def record(kind: Type[T], **readers: Reader) -> Callable[[Any, str], T]:
    """Reads a dataclass: fields without a default must be there, names that are no fields must not.

    Args:
        kind: The dataclass.
        readers: Of the fields whose types do not tell enough.
    """
    hints, known = get_type_hints(kind), fields(kind)  # type: ignore[arg-type]
    required = [field.name for field in known if field.default is MISSING and field.default_factory is MISSING]
    table = {field.name: readers[field.name] if field.name in readers else _of_type(hints[field.name]) for field in known}
    if not readers.keys() <= table.keys():
        raise TypeError("%s has no %s" % (kind.__name__, ", ".join(readers.keys() - table.keys())))

    def read(value: Any, where: str) -> T:
        values = _object(value, where)
        _complete(values, required, where)
        unknown = next((name for name in values if name not in table), None)
        if unknown is not None:
            raise ValueError("%s is no field that this version of dsmobile knows" % _inside(where, unknown))
        return kind(**{name: table[name](item, _inside(where, name)) for name, item in values.items()})

    return read


def _of_type(hint: Any) -> Reader:
    """The reader of a type; of a number's, the widest range that makes sense: none below 0."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in _UNIONS:
        return optional(_of_type(next(argument for argument in arguments if argument is not type(None))))
    if origin is tuple:
        return sequence(_of_type(arguments[0]), *(() if arguments[-1] is Ellipsis else (len(arguments), len(arguments))))
    if origin is dict:
        return document()
    if isinstance(hint, type) and is_dataclass(hint):
        return record(hint)
    return _BY_TYPE[hint] if hint in _BY_TYPE else member(hint)


def plain(value: Any, where: str, depth: int = _MOST_NESTED) -> Any:
    """Reads any JSON value whose numbers are finite and that is not nested more than twenty deep."""
    if not depth:
        raise ValueError("%s is nested too deeply" % where)
    if isinstance(value, dict):
        return {text(name, where): plain(item, _inside(where, name), depth - 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, "%s[%d]" % (where, index), depth - 1) for index, item in enumerate(value)]
    return text(value, where) if isinstance(value, str) else _scalar(value, where)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool) or (_is_number(value) and abs(value) <= sys.float_info.max)


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half a character: no file and no terminal takes it
        return False


def _leaf(what: str, holds: Callable[[Any], bool]) -> Reader:
    def read(value: Any, where: str) -> Any:
        if not holds(value):
            raise ValueError("%s is %s, not %s" % (where or "it", _shown(value), what))
        return value

    return read


text = _leaf("text", _is_text)
flag = _leaf("true or false", lambda value: isinstance(value, bool))
_scalar = _leaf("a plain value", _is_scalar)
_BY_TYPE: Dict[Any, Reader] = {int: whole(), float: number(), str: text, bool: flag, Any: plain}


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("%s is %s, not an object" % (where or "it", _shown(value)))
    return value


def _list(value: Any, where: str, least: int = 0, most: int = LONGEST_WHOLE) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("%s is %s, not a list" % (where, _shown(value)))
    if not least <= len(value) <= most:
        raise ValueError("%s has %d items, not %s" % (where, len(value), least if least == most else "%d or more" % least))
    return value


def _complete(values: Mapping[str, Any], required: Sequence[str], where: str) -> None:
    absent = next((name for name in required if name not in values), None)
    if absent is not None:
        raise ValueError("%s is missing" % _inside(where, absent))


def _inside(where: str, name: str) -> str:
    spelled = name if name.isidentifier() and name.isascii() and len(name) <= _SHOWN else _shown(name)
    return "%s.%s" % (where, spelled) if where else spelled


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return ascii(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
    if isinstance(value, (dict, list, tuple)):
        return "an object" if isinstance(value, dict) else "a list"
    if type(value) is int and abs(value) > LONGEST_WHOLE:
        return "a huge number"
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)
