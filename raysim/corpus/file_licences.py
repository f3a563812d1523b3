"""The licence of each file of a source: as the source states it, else from the file's header, else from a licence text
above it; and which files an agreement lets be used."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from raysim.core.errors import InputError
from raysim.corpus.files import SourceFile
from raysim.corpus.licence_terms import AllowedLicences, canonical_licence
from raysim.corpus.reading import DropCounter, SourceReading

LookedFor = Literal["stated", "headers", "texts"]
"""Where the licence of a file is looked for; each looks where the former do, too."""

UNRECOGNIZED = "unrecognized licence text"

NOT_AGREED = "licence not agreed to"
"""How the reasons begin for which an agreement has files left out."""

_HEADER_LINES = 30
"""Of a file in which its licence may stand; further down a file may write headers of others."""

_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n]+)")
_CLOSERS = re.compile(r"""[ \t\r]*(\*/|-->|\*\}|['"]{1,3})*[ \t\r]*$""")
_TEXT_NAMES = re.compile(r"(licen[sc]es?|copying|unlicense)([-_.].*)?", re.IGNORECASE)
_TEXT_ENDINGS = ("", ".txt", ".md", ".rst")


def spdx_header(text: str) -> str | None:
    """The licence that the head of a file names by ``SPDX-License-Identifier``; several are joined with ``;``."""
    if "SPDX-License-Identifier" not in text:
        return None
    head = "\n".join(text.split("\n", _HEADER_LINES)[:_HEADER_LINES])
    found = [canonical_licence(_CLOSERS.sub("", match[1]).strip()) for match in _SPDX.finditer(head)]
    return "; ".join(dict.fromkeys(filter(None, found))) or None


def find_licences(reading: SourceReading, looked_for: LookedFor, root: Path | None) -> SourceReading:
    """Gives a licence to files of which the source says nothing.

    Args:
        reading: what the source gave.
        looked_for: where to look.
        root: the folder that the paths of the files start from; None: they are in no folder, and have no texts above.

    Raises:
        InputError: licence texts are to be told apart by a package that is not installed.
    """
    if looked_for == "stated":
        return reading
    texts = LicenceTexts(root) if looked_for == "texts" and root else None
    return replace(reading, files=tuple(_with_licence(source, texts) for source in reading.files))


def _with_licence(source: SourceFile, texts: "LicenceTexts | None") -> SourceFile:
    if source.licence:
        return source
    licence = spdx_header(source.text) or (texts.above(source.path) if texts else None)
    return source.licensed(licence) if licence else source


class LicenceTexts:
    """Licence texts in the folders from a root on, each looked at once, and only above files that are asked for.

    Texts are compared with those that the package ``identify`` knows, as far as 5 % of their letters; another one is
    `UNRECOGNIZED`. The licences of a folder with several texts are joined with ``;``.

    Args:
        root: the folder that the paths of files start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[PurePosixPath, str] = {}

    def above(self, path: str) -> str | None:
        """The licence of the next text above a file.

        Raises:
            InputError: the package is not installed.
        """
        return next(filter(None, map(self._of, PurePosixPath(path).parents)), None)

    def _of(self, folder: PurePosixPath) -> str:
        """The licence of the texts in a folder; empty if there is none."""
        if folder not in self._found:
            self._found[folder] = "; ".join(sorted({*map(_licence_of_text, self._texts(folder))}))
        return self._found[folder]

    def _texts(self, folder: PurePosixPath) -> list[str]:
        try:
            with os.scandir(self._root / folder) as listing:
                return [child.path for child in listing if _is_text(child)]
        except OSError:  # its files could be read all the same
            return []


def _is_text(child: "os.DirEntry[str]") -> bool:
    name = PurePosixPath(child.name)
    named = _TEXT_NAMES.fullmatch(name.name) and name.suffix.lower() in _TEXT_ENDINGS
    return bool(named) and child.is_file()  # not a pipe or a socket, which would be waited for


def _licence_of_text(location: str) -> str:
    try:
        import ukkonen as ukkonen  # by which identify compares texts that are not equal
        from identify.identify import license_id
    except ImportError:
        raise InputError(
            "preparation.find_licences: texts needs the package identify; pip install 'raysim[licences]', or write"
            " headers"
        ) from None
    try:
        known = license_id(location)
        return canonical_licence(known) if known else UNRECOGNIZED
    except (OSError, UnicodeDecodeError):
        return UNRECOGNIZED


def only_agreed(reading: SourceReading, train_on: Sequence[str] | None) -> SourceReading:
    """The files whose licences are all among those that an agreement names; what is left out is counted by reason.

    What a file's own header says counts beside what the source states of it, so that a file under a stricter licence
    than its repository's is left out.

    Args:
        reading: what the source gave.
        train_on: licences; None: all files may be used.
    """
    if train_on is None:
        return reading
    allowed, counter, kept = AllowedLicences(train_on), DropCounter(reading.skipped), list[SourceFile]()
    for source in reading.files:
        if reason := _reason_against(source, allowed):
            counter.add(reason, source.num_bytes)
        else:
            kept.append(source)
    return SourceReading(tuple(kept), counter.drops())


def _reason_against(source: SourceFile, allowed: AllowedLicences) -> str | None:
    licences = [licence for licence in (source.licence, spdx_header(source.text)) if licence]
    if not licences:
        return f"{NOT_AGREED}: not stated"
    refused = next((licence for licence in licences if not allowed.allow(licence)), None)
    return f"{NOT_AGREED}: {refused[:_SHOWN]}" if refused else None


_SHOWN = 80
"""Characters of a licence in a reason: some sources state all of its text."""
