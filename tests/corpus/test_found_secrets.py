import sys

import pytest

from raysim.core.errors import InputError
from raysim.corpus import found_secrets
from raysim.corpus.found_secrets import find_secrets

BODY = "\n".join(["MIIEpAIBAAKCAQEA1c7+9z5Pad7OejecsQ0buQ3VL1/NbQ" for _ in range(3)])
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"
AWS = "AKIA" + "Z7PQ3MXVT2LKN5RD"  # in two parts, so that nobody who looks for secrets finds one here
GITHUB = "ghp_" + "q7Zk2LwVx9Rt4Bn6Yc1Md8Hs3Jf5Pg0Ea2Tu"
FOUND = {
    f"key = '{AWS}'": ("AWS Access Key", AWS),
    f"# token {GITHUB}": ("GitHub Token", GITHUB),
    "url = 'postgres://jane:hunter2x@db.host.org/x'": ("Basic Auth Credentials", "hunter2x"),
    'password = "c0rrect-h0rse"': ("Secret Keyword", "c0rrect-h0rse"),
    "login(user, api_key='9fQ2xx81LmZ')": ("Secret Keyword", "9fQ2xx81LmZ"),
    f"KEY = '''\n{KEY}\n'''": ("Private Key", KEY),
}
NOTHING = [
    'password = "password"',
    "password = getpass('Password for 2 users: ')",
    'secret = os.environ["SECRET_2"]',
    'api_key = "{your_key_1}"',
    'private_key = "id_rsa"',
    'client_secret = "abc123"[1:]  # ' + "x" * 10 if False else 'key_password = "ab1"',
    "sha = 'd41d8cd98f00b204e9800998ecf8427e'",
    "GENE = 'GGAATCTTCCGG" + "ACCACGCTGACGCTGCAGGT" + "GATCGCCGCA'",
    "uuid = '123e4567-e89b-12d3-a456-426614174000'",
    'MARKS = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")',
    "# in the form -----BEGIN PRIVATE KEY-----...",
    "-----BEGIN PUBLIC KEY-----\nMIIEpAIBAAKCAQEA1c7\n-----END PUBLIC KEY-----",
]


@pytest.mark.parametrize("text", FOUND)
def test_found(text: str) -> None:
    kind, found = FOUND[text]
    spans = find_secrets(text)
    assert (kind, found) in {(span.kind, text[span.start : span.end]) for span in spans}
    assert all(text[span.start : span.end] in found for span in spans)


@pytest.mark.parametrize("text", NOTHING)
def test_no_secret(text: str) -> None:
    assert find_secrets(text) == []


def test_each_place_of_a_secret_is_found() -> None:
    text = f"a = '{AWS}'\nb = 1\nc = '{AWS}'\n"
    assert [span.start for span in find_secrets(text)] == [5, text.rindex(AWS)]


def test_without_the_package_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detect_secrets.plugins.base", None)
    monkeypatch.setattr(found_secrets, "_tools", found_secrets._tools.__wrapped__)
    with pytest.raises(InputError, match=r"redact\.secrets: needs .* pip install 'raysim\[redaction\]', or write off"):
        find_secrets("x")
