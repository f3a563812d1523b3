"""Runs the doctests of modules whose code is obfuscated when it is imported; a script for a process of its own.

It reads JSON: ``modules`` whose doctests are run, ``roots`` below which all code is obfuscated on its way in, and
``settings`` of obfuscation or None. It writes JSON: the tests that passed and those that failed, by name, and how many
files were changed.
"""

import contextlib
import doctest
import importlib
import io
import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from raysim.corpus.encoding import decode_source
from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.obfuscation.variants import make_variant


class Obfuscating:
    """Compiles what is below some roots from its variant, and never from cached bytecode."""

    def __init__(self, roots: list[str], settings: ObfuscationSettings) -> None:
        self.roots, self.settings, self.changed, self.left = tuple(roots), settings, 0, dict[str, Any]()

    def code(self, path: str) -> CodeType:
        text = decode_source(Path(path).read_bytes())
        assert text is not None
        variant = make_variant(text, self.settings, 1, path.rpartition("/")[2], 0)
        self.changed += variant.text != text
        self.left |= {path: variant.left} if "not verified" in variant.left.values() else {}
        return compile(variant.text, path, "exec", dont_inherit=True)

    def install(self) -> None:
        usual = SourceFileLoader.get_code

        def get_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
            ours = loader.path.startswith(self.roots)
            return self.code(loader.path) if ours else usual(loader, fullname)

        SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


def main() -> None:
    asked = json.load(sys.stdin)
    obfuscating = None
    if asked["settings"]:
        obfuscating = Obfuscating(asked["roots"], ObfuscationSettings(**asked["settings"]))
        obfuscating.install()
    before, passed, failed = {*sys.modules}, list[str](), list[str]()
    for name in asked["modules"]:
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                module = importlib.import_module(name)
                if name in before and obfuscating:  # what this script itself imports
                    module = importlib.reload(module)
            except Exception:  # a package that is not installed
                failed.append(name)
                continue
            for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
                if test.examples:
                    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
                    runner = doctest.DocTestRunner(verbose=False, optionflags=flags)
                    (failed if runner.run(test, out=lambda text: None).failed else passed).append(test.name)
    left = obfuscating.left if obfuscating else {}
    json.dump(
        {"passed": passed, "failed": failed, "changed": obfuscating.changed if obfuscating else 0, "left": left},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
