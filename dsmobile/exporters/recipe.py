"""A recipe: how a network is written at one precision; one TOML file each in `export/`."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dsmobile.errors import SpecError, nearest
from dsmobile.files import recipes_folder

KINDS = (("float32", "float32"), ("float16", "float32"), ("int8", "float32"), ("int8", "int8"), ("int8", "int16"))
TFLITE_ONLY = {
    ("int8", "float32"): "ONNX Runtime quantizes activations while it runs only through ConvInteger, which is slower than float32 on a phone",
    ("int8", "int16"): "ONNX Runtime has no convolution with int16 activations",
}
CORRECTIONS = ("none", "bias", "rounding")


@dataclass(frozen=True)
class Recipe:
    """How a network is written at one precision.

    Args:
        name: The file's name without its ending.
        description: In one sentence.
        weights: `float32`, `float16` or `int8`.
        activations: `float32`, `int8` or `int16`.
        formats: The formats it can be written in.
        correction: Of what rounding does: `none`, `bias`, or `rounding` for both of it.
        wide_logits: Whether a dense layer at the end gives float32: its weights are integers, its outputs do not tie.
        max_drop: Points of top-1 that may be lost; the fewest layers for that stay in float32. None leaves none.
        max_error: Float recipes: largest difference allowed, times max(1, largest reference); 0 takes no part.
        min_sqnr_db: Integer recipes: least signal to quantization noise ratio in dB before the softmax; None takes no part.
        calibration_count: Inputs that set the activations' ranges, at most.
        parity_count: Inputs on which the written file is compared with the network.
    """

    name: str
    description: str
    weights: str
    activations: str
    formats: tuple[str, ...]
    correction: str
    wide_logits: bool
    max_drop: float | None
    max_error: float
    min_sqnr_db: float | None
    calibration_count: int
    parity_count: int

    @property
    def quantized(self) -> bool:
        """Whether activations are integers, so that calibration matters."""
        return self.activations != "float32"

    @property
    def integer_ends(self) -> bool:
        """Whether input and output may be integers too."""
        return self.activations == "int8"

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"schema": "dsmobile.recipe/1", **asdict(self), "formats": list(self.formats)}


def recipe_names() -> list[str]:
    """The recipes that come with dsmobile."""
    return sorted(path.stem for path in recipes_folder("export").glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """Reads a recipe by its name or from a TOML file.

    Raises:
        SpecError: There is none of that name, or a value makes no sense.
    """
    path = Path(name) if name.endswith(".toml") else recipes_folder("export") / f"{name}.toml"
    if not name.endswith(".toml") and name not in recipe_names():
        raise SpecError(f"there is no recipe {name!r}", nearest(name, recipe_names()))
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"the recipe {path} cannot be read: {error}", "compare it with export/int8.toml") from error
    defaults: dict[str, Any] = {
        "correction": "none",
        "wide_logits": False,
        "max_drop": None,
        "max_error": 0.0,
        "min_sqnr_db": None,
        "calibration_count": 100,
        "parity_count": 8,
    }
    allowed = [field.name for field in fields(Recipe) if field.name != "name"]
    for key in document:
        if key not in allowed:
            raise SpecError(f"{path} has an unknown key {key!r}", nearest(key, allowed))
    values = {**defaults, **document}
    missing = [key for key in allowed if key not in values]
    if missing:
        raise SpecError(f"{path} lacks {missing[0]!r}", f"a recipe has {', '.join(allowed)}")
    formats = values["formats"] if isinstance(values["formats"], list) else [values["formats"]]
    return _checked(Recipe(name=path.stem, **{**values, "formats": tuple(formats)}), path)


def _checked(recipe: Recipe, path: Path) -> Recipe:
    kinds = (recipe.weights, recipe.activations)
    if kinds not in KINDS:
        known = ", ".join(f"{weights} with {activations}" for weights, activations in KINDS)
        raise SpecError(f"{path}: weights {kinds[0]} with activations {kinds[1]} are not supported", f"supported are weights and activations {known}")
    if not recipe.formats or any(name not in ("tflite", "onnx") for name in recipe.formats):
        raise SpecError(f"{path}: formats {recipe.formats} are not tflite or onnx", 'write formats = ["tflite", "onnx"]')
    if "onnx" in recipe.formats and kinds in TFLITE_ONLY:
        raise SpecError(
            f"{path}: weights {kinds[0]} with activations {kinds[1]} cannot be written as ONNX: {TFLITE_ONLY[kinds]}", "take int8 with int8"
        )
    if recipe.correction not in CORRECTIONS:
        raise SpecError(f"{path}: correction = {recipe.correction!r} is not known", f"take {', '.join(CORRECTIONS)}")
    if recipe.correction != "none" and recipe.weights != "int8":
        raise SpecError(f"{path}: there is nothing to correct in {recipe.weights} weights", 'write correction = "none"')
    if type(recipe.wide_logits) is not bool or (recipe.wide_logits and kinds != ("int8", "int8")):
        raise SpecError(f"{path}: wide_logits = {recipe.wide_logits!r} does not fit", "write true or false, true beside int8 with int8 only")
    if recipe.max_drop is not None and not (_is_number(recipe.max_drop) and 0 < recipe.max_drop <= 100 and kinds == ("int8", "int8")):
        raise SpecError(f"{path}: max_drop = {recipe.max_drop!r} does not fit", "give points of top-1, above 0 up to 100, beside int8 with int8")
    for key in ("calibration_count", "parity_count"):
        if type(getattr(recipe, key)) is not int or not 1 <= getattr(recipe, key) <= 100_000:
            raise SpecError(f"{path}: {key} = {getattr(recipe, key)!r} is not a whole number from 1 to 100000", "correct the value")
    if _is_number(recipe.max_error) and recipe.max_error < 0:
        raise SpecError(
            f"{path}: max_error = {recipe.max_error!r} is below 0, which no file can meet", "give the largest difference allowed, or 0 for no check"
        )
    for key in ("max_error", "min_sqnr_db"):
        value = getattr(recipe, key)
        if not _is_number(value) and (key, getattr(recipe, key)) != ("min_sqnr_db", None):
            raise SpecError(f"{path}: {key} = {getattr(recipe, key)!r} is not a number", "correct the value")
    return recipe


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -sys.float_info.max <= value <= sys.float_info.max
