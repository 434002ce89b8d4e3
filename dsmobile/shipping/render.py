"""The module's template: every file under `export/android/module`, with `{{name}}` replaced and sections kept or left out.

A regular expression does it: `string.Template`'s `$` is Kotlin's own, and Jinja would be a dependency for loops that nothing here needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dsmobile.errors import SpecError, nearest
from dsmobile.files import recipes_folder

PACKAGE = "PACKAGE"
_HIDDEN = frozenset({".gitattributes", ".github", ".gitignore"})
_PLACE = re.compile(r"(?<!\$)\{\{([#^/]?)([^{}\n]*)\}\}")  # ${{...}} is GitHub's own
_SECTION = re.compile(r"^[ \t]*\{\{([#^])(\w+)\}\}[ \t]*\n(.*?)^[ \t]*\{\{/\2\}\}[ \t]*\n", re.MULTILINE | re.DOTALL)


def template_folder() -> Path:
    """The template's folder, in an installed wheel or in a checkout.

    Raises:
        SpecError: It is missing.
    """
    folder = recipes_folder("export") / "android" / "module"
    if not folder.is_dir():
        raise SpecError(f"the Android template is missing: {folder}", "install dsmobile again, or restore export/android/module")
    return folder


def render_folder(folder: Path, values: Mapping[str, str], sections: Mapping[str, bool]) -> dict[str, bytes]:
    """Renders every template.

    Args:
        folder: The templates; hidden files but git's and GitHub's, and editors' backups, are left out.
        values: The text for each `{{name}}` that a template may use; `package` also names folders.
        sections: Whether the lines between `{{#name}}` and `{{/name}}` are kept; those between `{{^name}}` and `{{/name}}` are where not.

    Returns:
        The file's bytes, UTF-8 with `\\n`, by its path in the module, in the order of paths; files of which nothing is kept are left out.

    Raises:
        SpecError: A template is not UTF-8 or names something unknown.
    """
    package_path = values["package"].replace(".", "/")
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(_left_out(part) for part in parts):
            continue
        text = _render(path, values, sections)
        if text:
            files["/".join(package_path if part == PACKAGE else part for part in parts)] = text.encode()
    return files


def _left_out(part: str) -> bool:
    return (part.startswith(".") and part not in _HIDDEN) or part.endswith(("~", ".orig", ".bak")) or part == "__pycache__"


def _render(path: Path, values: Mapping[str, str], sections: Mapping[str, bool]) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the template {path} cannot be read: {error}", "save it as UTF-8 text") from error
    for place in _PLACE.finditer(text):
        known = sections if place[1] else values
        if place[2].strip() not in known:
            line = text.count("\n", 0, place.start()) + 1
            raise SpecError(f"{path}, line {line}: {place[0]} is not known", nearest(place[2].strip(), known))
    changed = True
    while changed:  # sections stand in sections
        kept = _SECTION.sub(lambda found: found[3] if sections[found[2]] == (found[1] == "#") else "", text)
        text, changed = kept, kept != text
    unmatched = next((place for place in _PLACE.finditer(text) if place[1]), None)
    if unmatched:
        raise SpecError(
            f"{path}: {unmatched[0]} stands alone",
            f"a section begins with {{{{#{unmatched[2]}}}}} and ends with {{{{/{unmatched[2]}}}}}, each on its own line",
        )
    return _PLACE.sub(lambda place: values[place[2].strip()], text)
