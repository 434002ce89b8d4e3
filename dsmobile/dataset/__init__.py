"""Where inputs come from: a folder of images or an `.npz`, as frozen values that are streamed one input at a time and never held whole."""

from __future__ import annotations

from pathlib import Path

from dsmobile.dataset.images import IMAGE_SUFFIXES, ImageFile, ImageFolder, open_folder
from dsmobile.dataset.npz import ArrayFile, no_scale, open_npz
from dsmobile.dataset.samples import Dataset, Sample, Shape, spread
from dsmobile.errors import DataError, UsageError
from dsmobile.preprocessing import Preprocessing

__all__ = ["IMAGE_SUFFIXES", "ArrayFile", "Dataset", "ImageFile", "ImageFolder", "Sample", "open_dataset", "spread"]


def open_dataset(
    path: Path,
    preprocessing: Preprocessing | None = None,
    labels: tuple[str, ...] | None = None,
    limit: int | None = None,
    input_shape: Shape | None = None,
    *,
    scale_later: bool = False,
) -> Dataset:
    """Finds inputs; nothing is decoded yet.

    Args:
        path: A folder of images, or an `.npz` with `x`, and `y`, `scale`, `zero_point` where they apply.
        preprocessing: From RGB bytes to the input; needed for images.
        labels: One class a line; an image's class is the line that begins with its folder's name. None: unlabelled.
        limit: Take that many inputs, spread evenly over the classes, always the same ones.
        input_shape: The model's NHWC input, batch included; None in it fits any size.
        scale_later: Whether an integer x without a scale is let through, for a caller that sets `quantization` itself.

    Raises:
        DataError: There is nothing to read, or it does not fit the labels or the model.
        UsageError: A limit below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} leaves no inputs", "give --limit 1 or more, or leave it away")
    if path.is_dir():
        return open_folder(path, preprocessing, labels, limit, input_shape)
    if not path.exists():
        raise DataError(f"{path} does not exist", "give a folder of images or an .npz file")
    if path.suffix.lower() != ".npz" or not path.is_file():
        raise DataError(
            f"{path} is neither a folder of images nor an .npz file",
            "give the folder that holds the images, or save arrays with numpy.savez",
        )
    dataset = open_npz(path, preprocessing, labels, limit, input_shape)
    if dataset.needs_quantization and not scale_later:
        raise no_scale(path, dataset.dtype)
    return dataset
