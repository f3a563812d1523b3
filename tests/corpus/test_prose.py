from collections.abc import Sequence

from raysim.corpus.corpus import Drop
from raysim.corpus.files import SourceFile
from raysim.corpus.prose import NO_PROSE, as_prose, one_sentence_a_line, prose_in, sentences
from raysim.corpus.reading import SourceReading


def test_sentences_end_at_terminal_marks_before_capitals_digits_and_what_opens() -> None:
    text = 'It is so. Is it? "Yes, it is." (Nobody asked.) 3 did! but no more. `X` is one. :class:`foo` is another'
    assert sentences(text) == [
        "It is so.",
        "Is it?",
        '"Yes, it is."',
        "(Nobody asked.)",
        "3 did! but no more.",
        "`X` is one.",
        ":class:`foo` is another",
    ]


def test_no_sentence_ends_at_an_abbreviation_an_initial_or_inside_a_number() -> None:
    text = "See e.g. Broder and J. Doe et al. 1997, vs. Python 3.11.2 of i.e. Guido. So I did. Fig. 3 has it."
    assert sentences(text) == [
        "See e.g. Broder and J. Doe et al. 1997, vs. Python 3.11.2 of i.e. Guido.",
        "So I did.",
        "Fig. 3 has it.",
    ]


def test_line_ends_of_a_paragraph_are_spaces() -> None:
    wrapped = "The first sentence is wrapped\nover two lines. The second one   also\nis wrapped, over three\nlines."
    assert one_sentence_a_line(wrapped) == (
        "The first sentence is wrapped over two lines.\nThe second one also is wrapped, over three lines.\n"
    )


def test_wrapping_alone_changes_nothing() -> None:
    words = ("The optimizer keeps a moment of each gradient. It is divided by its root. " * 4).split()
    texts = {one_sentence_a_line("\n".join(_wrapped(words, width))) for width in (20, 33, 60, 500)}
    assert len(texts) == 1
    assert texts.pop().count("\n") == 8


def _wrapped(words: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def test_what_is_no_sentence_is_left_out() -> None:
    kept = "This one has five words."
    for other in (
        "Too short a one.",  # four words
        "No terminal mark stands behind this one",
        "A brace {like this} is a sign of code.",
        "1 2 3 4 5 6 7 8 are all numbers.",
        "A heading of several words\n==========================",
        "| a table | of words that | end so. |",
        "<p>Markup of the page that ends so.</p>",
        ">>> print('a session of Python')\nIt is what it prints on the page.",
        "```\nThis is what a fence holds inside.\n```",
    ):
        assert one_sentence_a_line(f"{kept}\n\n{other}\n\n{kept}") == f"{kept}\n\n{kept}\n", other


def test_what_a_literal_block_holds_is_no_prose_and_what_a_note_holds_is() -> None:
    text = """\
It is called like this, as a rule::

    the_function(of="This is not a sentence of ours.")

    Nor is this one a sentence of ours.

.. note::

    This one is a sentence of ours.

Behind it there is one more.
"""
    assert one_sentence_a_line(text) == "This one is a sentence of ours.\n\nBehind it there is one more.\n"


def test_items_and_entries_begin_anew_and_lose_their_marks() -> None:
    text = """\
Args:
    rate (float): how fast the model
        is to learn from it.
    size: how large a batch it takes.
- The first item of a list goes
  on in a second line.
2. The second item of it follows.
:return: what it has become of it.
"""
    assert one_sentence_a_line(text).split("\n\n") == [
        "rate (float): how fast the model is to learn from it.",
        "size: how large a batch it takes.",
        "The first item of a list goes on in a second line.",
        "The second item of it follows.",
        "what it has become of it.\n",
    ]


def test_prose_of_python_is_its_docstrings_in_their_order() -> None:
    code = '''\
"""The module is about this thing."""
# A comment is not taken for prose.
class A:
    """The class is about that thing.

    It goes on in another paragraph.
    """
    def f(self):
        """The method is about nothing at all."""
x = "A string is not taken for prose."
'''
    assert one_sentence_a_line(prose_in("a.py", code)) == (
        "The module is about this thing.\n\nThe class is about that thing.\n\n"
        "It goes on in another paragraph.\n\nThe method is about nothing at all.\n"
    )
    assert prose_in("a.py", "def broken(:\n") == ""


def test_prose_of_a_package_is_its_description() -> None:
    metadata = "Metadata-Version: 2.1\nName: x\nSummary: It does this and that thing.\n\nThis is what it is about.\n"
    assert one_sentence_a_line(prose_in("x-1.dist-info/METADATA", metadata)) == "This is what it is about.\n"
    assert one_sentence_a_line(prose_in("x/README.md", "# Head\n\nThis is what it is about.")) == (
        "This is what it is about.\n"
    )


def test_files_without_prose_are_counted() -> None:
    files = (
        SourceFile("a.py", "x = 1\n", "r"),
        SourceFile("b.md", "There is a sentence in here.\n", "r", "MIT", (("c", "d"),)),
    )
    found = as_prose(SourceReading(files, (Drop("empty", 1, 0),)))
    assert found.files == files[1:]
    assert found.skipped == (Drop("empty", 1, 0), Drop(NO_PROSE, 1, 6))
