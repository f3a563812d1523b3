import pytest

from raysim.corpus.licence_terms import AllowedLicences, canonical_licence

ALLOWED = AllowedLicences(("MIT", "Apache-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", "MIT License", "In House"))


@pytest.mark.parametrize(
    "stated",
    [
        "MIT",
        "mit",
        "apache-2.0",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only OR (MIT AND Apache-2.0)",
        "MIT AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "GPL-2.0 WITH Classpath-exception-2.0",
        "MIT; Apache-2.0",
        "MIT License",
        "in house",
    ],
)
def test_allowed(stated: str) -> None:
    assert ALLOWED.allow(stated)


@pytest.mark.parametrize(
    "stated",
    [
        "GPL-3.0-only",
        "GPL-2.0-only",
        "MIT AND GPL-3.0-only",
        "MIT; GPL-3.0-only",
        "MIT OR",
        "MIT or so, ask Jane",
        "Apache Software License",
        "MIT-0",
        "NOT MIT",
        "",
    ],
)
def test_what_is_not_known_to_be_allowed_is_not(stated: str) -> None:
    assert not ALLOWED.allow(stated)


def test_old_names_are_the_new_ones() -> None:
    assert AllowedLicences(["GPL-3.0"]).allow("GPL-3.0-only")
    assert AllowedLicences(["GPL-3.0-only"]).allow("gpl-3.0")


def test_spelling_is_of_spdx() -> None:
    assert canonical_licence("apache-2.0 or mit") == "Apache-2.0 OR MIT"
    assert canonical_licence("ours alone") == "ours alone"
