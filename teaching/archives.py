"""The files of all submissions, wherever they lie: in folders, in zips, in zips in those."""

import functools
import io
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from teaching import Refused

MOST_BYTES = 2**28  # of a file that is read, or of a zip in a zip
MOST_UNPACKED = 2**30  # of all zips in a zip
MOST_FILES = 20_000  # in a zip, with the zips in it
DEPTH = 4  # zips in zips that are opened
PASSED_OVER = re.compile(r"\.|__MACOSX$|__pycache__$|Thumbs\.db$|desktop\.ini$|~\$")
CLOSED = re.compile(
    r"\.(rar|7z|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|zipx|ace|arj|lz|cab|dmg|iso)$", re.I
)


class File(NamedTuple):
    """A file, or something that holds none: an empty folder, a zip that can't be read.

    Attributes:
        parts: of its path below the folder of all submissions; the last one is "" where there is no file.
        when: year, month, day, hour, minute, second of its last change.
        size: bytes.
        open: gives a binary file.
        trouble: what is wrong with it, in a few words.
    """

    parts: tuple[str, ...]
    when: tuple[int, ...]
    size: int
    open: Callable[[], BinaryIO]
    trouble: str = ""

    @property
    def path(self) -> str:
        """Its path below the folder of all submissions."""
        return "/".join(filter(None, self.parts))

    def read(self) -> bytes:
        """Its bytes; ValueError if there are too many."""
        with self.open() as content:
            found = content.read(MOST_BYTES + 1)
        if len(found) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES >> 20} MiB")
        return found


class Budget:
    """What one zip may still cost."""

    def __init__(self) -> None:
        self.files, self.bytes = MOST_FILES, MOST_UNPACKED

    def takes(self, size: int) -> bool:
        """Is there room for a zip of this size, too?"""
        self.bytes -= size
        return size <= MOST_BYTES and self.bytes >= 0


def files_in(place: Path) -> list[File]:
    """All files of a folder, or of a zip. No link is followed."""
    if place.is_file():
        return list(on_disk(place, (readable(place.name),)))
    found: list[File] = []
    for folder, folders, names in os.walk(place, onerror=unreadable):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not PASSED_OVER.match(name))
        parts = tuple(map(readable, here.relative_to(place).parts))
        links = [name for name in folders if (here / name).is_symlink()]
        names = sorted([*links, *(name for name in names if not PASSED_OVER.match(name))])
        for name in names:
            found += on_disk(here / name, (*parts, readable(name)))
        if parts and not names and not folders:
            found.append(nothing(parts, "empty folder"))
    return found


def unreadable(error: OSError) -> None:
    """A folder that can't be looked into holds somebody's work."""
    raise Refused(f"can't read {error.filename!r}: {error.strerror}")


def on_disk(path: Path, parts: tuple[str, ...]) -> Iterator[File]:
    """The file at a path, or what lies in it if it is a zip."""
    if path.is_symlink():
        yield nothing(parts, "a link, which is not followed")
    elif path.is_file():
        facts = path.stat()
        when = tuple(time.localtime(facts.st_mtime)[:6])
        file = File(parts, when, facts.st_size, path_opener(path))
        yield from unpacked(file, Budget(), DEPTH)


def path_opener(path: Path) -> Callable[[], BinaryIO]:
    """A function that opens a file on disk."""
    return lambda: open(path, "rb")


def unpacked(file: File, budget: Budget, depth: int) -> Iterator[File]:
    """The file, or if it is a zip, what lies in it and in the zips in it."""
    if not file.parts[-1].lower().endswith(".zip"):
        yield file
        return
    count = 0
    try:
        if not depth:
            raise ValueError("too many zips in zips")
        with file.open() as archive:
            members = zipfile.ZipFile(archive).infolist()
        for member in members:
            below = PurePosixPath(member.filename.replace("\\", "/")).parts
            below = tuple(readable(part) for part in below if part not in ("..", "/"))
            if not below or any(map(PASSED_OVER.match, below)):
                continue
            count += 1
            yield from one_member(file, member, below, budget, depth)
    except Exception as error:  # zipfile and its decompressors raise a dozen types
        yield nothing(file.parts, why(error))
        return
    if not count:
        yield nothing(file.parts, "an empty zip")


def one_member(
    file: File, member: zipfile.ZipInfo, below: tuple[str, ...], budget: Budget, depth: int
) -> Iterator[File]:
    """What a member of a zip stands for."""
    parts = file.parts + below
    budget.files -= 1
    if budget.files < 0:
        raise ValueError(f"more than {MOST_FILES} files")
    if member.is_dir():
        yield nothing(parts, "empty folder")
        return
    inner = File(
        parts, tuple(member.date_time), member.file_size, functools.partial(opened, file, member)
    )
    if below[-1].lower().endswith(".zip") and not budget.takes(member.file_size):
        yield nothing(parts, "too large a zip in a zip")
    else:
        yield from unpacked(inner, budget, depth - 1)


def opened(file: File, member: zipfile.ZipInfo) -> BinaryIO:
    """A member of a zip as a binary file; the zips of a whole class would fill the memory, so each is opened anew."""
    archive = zipfile.ZipFile(file.open())
    content = archive.open(member)
    if member.filename.lower().endswith(
        ".zip"
    ):  # to seek in what is compressed would inflate it again and again
        return io.BytesIO(content.read(MOST_BYTES))
    return content  # type: ignore[return-value]


def nothing(parts: tuple[str, ...], trouble: str) -> File:
    """Stands where there is no file that could be read."""
    return File((*parts, ""), (), 0, io.BytesIO, trouble)


def why(error: Exception) -> str:
    """A few words on a zip that can't be read."""
    said = str(error) if type(error) is ValueError else type(error).__name__
    return f"not readable ({said})"


def readable(name: str) -> str:
    """A file's name without the bytes that are no text, as other systems' zips leave them."""
    return name.encode("utf-8", "replace").decode()


def date(when: tuple[int, ...]) -> str:
    """A date for people, to the minute."""
    year, month, day, hour, minute, *_ = when
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}"
