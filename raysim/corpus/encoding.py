"""The one decoder of source files, for all readers."""

import codecs
import io
import re
import tokenize

_BOM = "\ufeff"
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LONE_RETURN = re.compile("\r(?!\n)")


def decode_source(data: bytes) -> str | None:
    """The text of a source file as `clean` leaves it.

    In UTF-16 or UTF-32 if a byte order mark says so. What is valid UTF-8 is read as UTF-8, whatever it declares;
    anything else in the encoding that a comment in one of its first two lines names (PEP 263), as Python reads it.

    Returns:
        text that can be written as UTF-8; None if the file is none of these.
    """
    encoding = wide_encoding(data)
    try:
        return clean(data.decode(encoding or "utf-8"))
    except UnicodeDecodeError:
        if encoding:
            return None
    try:
        text = data.decode(tokenize.detect_encoding(io.BytesIO(data).readline)[0])
        text.encode()
    except (SyntaxError, LookupError, ValueError):  # none declared, an unknown one, or bytes that it does not have
        return None
    return clean(text)


def clean(text: str) -> str:
    """`text` without a byte order mark in front, and with ``\\n`` for every ``\\r`` that has none behind it.

    Such a carriage return ends a line for Python and for editors. Line ends of two characters stay as they are.
    """
    text = text.removeprefix(_BOM)
    return _LONE_RETURN.sub("\n", text) if "\r" in text else text


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 where `data` begins with the byte order mark of one, else None."""
    return next((encoding for mark, encoding in _WIDE.items() if data.startswith(mark)), None)
