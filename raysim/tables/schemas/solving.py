"""Schemas of the tables about solutions to programming problems."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

_MODEL = ("model", TEXT, "key of the model")

EXECUTIONS = table_spec(
    "executions",
    "A problem that a model was to solve: how many of its solutions, executed with their tests, came to which outcome.",
    "model problem",
    [
        _MODEL,
        ("problem", TEXT, "name of the problem in its collection"),
        ("samples", SMALL, "solutions generated; the outcomes add up to it"),
        ("passed", SMALL, "solutions whose tests came to their end"),
        ("wrong", SMALL, "solutions of which an assertion failed"),
        ("error", SMALL, "solutions that raised another exception, or are no Python"),
        ("timeout", SMALL, "solutions that used up their processor time, or four times that by the clock"),
        ("memory", SMALL, "solutions that asked for more memory than allowed"),
        ("ended", SMALL, "solutions that exited or were killed before their tests had come to an end"),
        ("too_long", SMALL, "solutions that were not asked for: the prompt leaves no room in the model's context"),
        ("walls", TEXT, "protections in force besides limits: namespaces, system calls (seccomp), files (Landlock)"),
    ],
)

PASS_AT_K = table_spec(
    "pass_at_k",
    "The chance that one of k solutions of a model passes, as a mean over problems.",
    "model k",
    [
        _MODEL,
        ("k", SMALL, "number of tries"),
        ("value", REAL, "unbiased estimate from all samples (Chen et al. 2021, equation 1)"),
        ("low", REAL, "lower end of its 95 % interval over problems (bootstrap); null where all are alike"),
        ("high", REAL, "upper end of it"),
        ("problems", SMALL, "problems that it is a mean over"),
        ("samples", SMALL, "solutions of each"),
    ],
)

PATTERNS = table_spec(
    "patterns",
    "A pattern known to be risky in a model's solutions, by the security rules of the linter Ruff.",
    "model rule",
    [
        _MODEL,
        ("rule", TEXT, "code of the rule, for example S602; invalid-syntax: what does not parse is not linted"),
        ("about", TEXT, "name of the rule"),
        ("samples", COUNT, "solutions that show it"),
        ("findings", COUNT, "places that show it, over all solutions"),
    ],
)

LICENCES = table_spec(
    "licences",
    "What of a model's solutions is found in an organization's training split, by the licence of the file there.",
    "model organization licence",
    [
        _MODEL,
        ("organization", TEXT, "in whose training split it is found"),
        ("licence", TEXT, "as the source states it of the file; 'not stated' where it states none"),
        ("allowed", FLAG, "whether agreement.licences names it; null where the agreement names none"),
        ("samples", COUNT, "solutions with at least min_lines consecutive lines that are found in such a file"),
        ("lines", COUNT, "their significant lines in such runs; lines under two licences count for each"),
        ("files", COUNT, "files that hold any of the runs"),
    ],
)

SOLVING = (EXECUTIONS, PASS_AT_K, PATTERNS, LICENCES)
