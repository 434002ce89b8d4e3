"""A folder of images: decoded and preprocessed one by one; the folder of a class bears the first word of its label's line."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dsmobile.dataset.samples import Dataset, Sample, Shape, spread
from dsmobile.errors import DataError
from dsmobile.files import sha256
from dsmobile.labels import folder_names
from dsmobile.pixels import decode
from dsmobile.preprocessing import COLOURS, HOW, Preprocessing

_MOST_WORKERS = 4
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class ImageFile(NamedTuple):
    """An image and its class.

    Args:
        name: Its path within the folder, with `/`.
        label: The class's index; None where it is not known.
    """

    name: str
    label: int | None


@dataclass(frozen=True)
class ImageFolder(Dataset):
    """A folder of images, decoded and preprocessed as they are asked for.

    Args:
        files: What is read, in order.
        preprocessing: From RGB bytes to the input; inputs are NHWC whatever its layout says.
        links_left_out: Symbolic links that lead out of the folder, or to folders; they are not followed.
    """

    files: tuple[ImageFile, ...]
    preprocessing: Preprocessing
    links_left_out: int = 0

    @property
    def kind(self) -> str:
        """`images`."""
        return "images"

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.files)

    @property
    def digest(self) -> str:
        """SHA-256 over the names and hashes of the images."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(f"{file.name}\0{sha256(self.path / file.name)}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return all(file.label is not None for file in self.files)

    def __iter__(self) -> Iterator[Sample]:
        """Gives one input after the other, while threads read the next ones."""
        workers = max(1, min(_MOST_WORKERS, os.cpu_count() or 1))
        pool = ThreadPoolExecutor(workers)
        try:
            ahead: deque[Future[Sample]] = deque()
            for file in self.files:
                ahead.append(pool.submit(self._read, file))
                if len(ahead) > workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, file: ImageFile) -> Sample:
        x = self.preprocessing(decode(self.path / file.name))
        self.check(x.shape, file.name)
        return Sample(x, file.label, file.name)


def open_folder(
    path: Path, preprocessing: Preprocessing | None, labels: tuple[str, ...] | None, limit: int | None, input_shape: Shape | None
) -> ImageFolder:
    """Finds the images of a folder; for the arguments see `dsmobile.dataset.open_dataset`.

    Raises:
        DataError: There are none, a folder is no class, or the preprocessing does not fit the model.
    """
    names, left_out = _image_names(path)
    if not names:
        links = f"; {left_out} symbolic links that lead out of it were not followed" if left_out else ""
        raise DataError(f"{path} holds no images{links}", f"give a folder with files that end in {', '.join(IMAGE_SUFFIXES)}")
    if preprocessing is None:
        raise DataError(f"{path} holds images, and nothing says how their bytes become the model's input", HOW)
    files = [ImageFile(name, None) for name in names] if labels is None else _labelled(path, names, labels)
    files.sort(key=lambda file: (-1 if file.label is None else file.label, file.name))
    chosen = tuple(files[index] for index in spread(len(files), limit))
    dataset = ImageFolder(path, input_shape, chosen, replace(preprocessing, layout="nhwc"), left_out)
    if preprocessing.crop is not None:
        dataset.check((1, *preprocessing.crop, COLOURS[preprocessing.colour]), "the preprocessing")
    return dataset


def _image_names(path: Path) -> tuple[list[str], int]:
    """The images' paths within the folder, sorted, and how many symbolic links were left out."""
    root, found, left_out = path.resolve(), [], 0
    for folder, folders, files in os.walk(path, onerror=_unreadable):
        left_out += sum(Path(folder, name).is_symlink() for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            file = Path(folder, name)
            if name.startswith(".") or file.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                left_out += 1
            elif file.is_file():
                found.append(file.relative_to(path).as_posix())
    return sorted(found), left_out


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}", "check the folder's permissions") from error


def _labelled(path: Path, names: list[str], labels: tuple[str, ...]) -> list[ImageFile]:
    index_of = folder_names(labels)
    files = []
    for name in names:
        folder, slash, _ = name.partition("/")
        if not slash:
            raise DataError(
                f"{path / name} lies in no class's folder",
                f"move it into {path}/CLASS/, where CLASS is its line in the labels, or that line's first word",
            )
        if folder not in index_of:
            near = difflib.get_close_matches(folder, index_of, n=1, cutoff=0.0)
            raise DataError(
                f"the folder {path / folder} is no class: no line of the labels is {folder!r} or alone begins with it, the nearest is {near[0]!r}",
                "name each folder by its class's line or the line's first word, and give the folder that holds the classes' folders",
            )
        files.append(ImageFile(name, index_of[folder]))
    return files
