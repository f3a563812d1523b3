import sys

import pytest

from raysim.core.errors import InputError
from raysim.corpus import personal_data
from raysim.corpus.personal_data import CARD, EMAIL, IBAN, IP_ADDRESS, PHONE, find_personal_data

FOUND = {
    "# Author: Jane Roe <jane.roe+code@mail.roe-family.org>.": (EMAIL, "jane.roe+code@mail.roe-family.org"),
    r'"first\njane@roe.org\n"': (EMAIL, "jane@roe.org"),
    "mailto:o'jane@roe.co.uk,": (EMAIL, "jane@roe.co.uk"),
    "call +49 30 901820 today": (PHONE, "+49 30 901820"),
    "tel='+1 (202) 456-1111'": (PHONE, "+1 (202) 456-1111"),
    "host = '93.184.215.14'": (IP_ADDRESS, "93.184.215.14"),
    "dns 2606:4700:4700::1111": (IP_ADDRESS, "2606:4700:4700::1111"),
    "card 4012 8888 8888 1881": (CARD, "4012 8888 8888 1881"),
    "amex=378282246310005": (CARD, "378282246310005"),
    "iban DE89 3704 0044 0532 0130 00": (IBAN, "DE89 3704 0044 0532 0130 00"),
}
"""By text: the kind that is found in it, and what it is."""

NOTHING = [
    "@pytest.mark.parametrize",
    r'code = "\n@triton.jit\n"',
    "jane@example.com, joe@api.example.org, x@host.test",
    "git clone git@github.com:owner/name.git",
    "noreply@github.com",
    "version 3.1.1.6, section 8.2.4.44, 1.2.3.4.5",
    "127.0.0.1 10.20.30.40 192.168.17.20 255.255.255.0 172.16.20.30",
    "a[1::2] c10::half std::string Bad:: 12:34:56 a:b::c ::1 fe80::1 2001:db8::17",
    "4111 1111 1111 1112",
    "0000000000000000 20071116100808 4220315081820346526 460001234567890",
    "DE89 3704 0044 0532 0130 01",
    "+ 278326125*C1 - Decimal('+35236450.6') + 1",
    "0xDEADBEEFDEADBEEF 1e+491",
    "5 + 4930901820",
]


@pytest.mark.parametrize("text", FOUND)
def test_found(text: str) -> None:
    kind, found = FOUND[text]
    (span,) = find_personal_data(text)
    assert (span.kind, text[span.start : span.end]) == (kind, found)


@pytest.mark.parametrize("text", NOTHING)
def test_nothing_of_anybody(text: str) -> None:
    assert find_personal_data(text) == []


def test_without_the_packages_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    monkeypatch.setattr(personal_data, "_checks", personal_data._checks.__wrapped__)
    with pytest.raises(InputError, match=r"redact\.personal: needs .* pip install 'raysim\[redaction\]', or write off"):
        find_personal_data("x")
