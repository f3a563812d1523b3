"""The one decoder of source files: UTF-8, else the encoding that a file declares, as Python reads its own source."""

import codecs
import io
import tokenize

_BOM = "\ufeff"


def decode_source(data: bytes) -> str | None:
    """The text of a source file, line ends untouched, without a byte order mark.

    What is valid UTF-8 is read as UTF-8, whatever it declares; anything else in the encoding that a comment in one of
    its first two lines names (PEP 263).

    Returns:
        text that can be written as UTF-8; None if the file is neither.
    """
    try:
        return without_bom(data.decode())
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode(tokenize.detect_encoding(io.BytesIO(data.removeprefix(codecs.BOM_UTF8)).readline)[0])
        text.encode()
    except (SyntaxError, LookupError, ValueError):  # none declared, an unknown one, or bytes that it does not have
        return None
    return text


def without_bom(text: str) -> str:
    """`text` without the mark that some editors put in front; it is no part of the code."""
    return text.removeprefix(_BOM)
