"""The module's template: every file under `export/android/module`, with `{{name}}` replaced.

A regular expression does it: `string.Template`'s `$` is Kotlin's own, and Jinja would be a dependency for loops that nothing here needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dsmobile.errors import SpecError, nearest
from dsmobile.files import recipes_folder

PACKAGE = "PACKAGE"
_PLACE = re.compile(r"\{\{([^{}\n]*)\}\}")


def template_folder() -> Path:
    """The template's folder, in an installed wheel or in a checkout.

    Raises:
        SpecError: It is missing.
    """
    folder = recipes_folder("export") / "android" / "module"
    if not folder.is_dir():
        raise SpecError(f"the Android template is missing: {folder}", "install dsmobile again, or restore export/android/module")
    return folder


def render_folder(folder: Path, values: Mapping[str, str]) -> dict[str, bytes]:
    """Renders every template.

    Args:
        folder: The templates; hidden files and editors' backups are left out.
        values: The text for each name that a template may use; `package` also names folders.

    Returns:
        The file's bytes, UTF-8 with `\\n`, by its path in the module, in the order of paths.

    Raises:
        SpecError: A template is not UTF-8 or names something unknown.
    """
    package_path = values["package"].replace(".", "/")
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or any(part.startswith(".") or part.endswith(("~", ".orig", ".bak")) or part == "__pycache__" for part in parts):
            continue
        name = "/".join(package_path if part == PACKAGE else part for part in parts)
        files[name] = _render(path, values).encode()
    return files


def _render(path: Path, values: Mapping[str, str]) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the template {path} cannot be read: {error}", "save it as UTF-8 text") from error

    def value(place: re.Match[str]) -> str:
        name = place.group(1).strip()
        if name not in values:
            line = text.count("\n", 0, place.start()) + 1
            raise SpecError(f"{path}, line {line}: {{{{{name}}}}} is not known", nearest(name, values))
        return values[name]

    return _PLACE.sub(value, text)
