"""Personal data in code: e-mail addresses, phone numbers, IP addresses, payment cards and bank accounts.

Addresses are found by patterns, as for the data of SantaCoder (Ben Allal et al., arXiv 2301.03988); phone numbers by
Google's libphonenumber, cards and accounts by their check digits (python-stdnum). What has no form is not found: names
of people, street addresses, phone numbers without a country code.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from raysim.core.errors import InputError
from raysim.corpus.text_spans import TextSpan

EMAIL, PHONE, IP_ADDRESS, CARD, IBAN = "e-mail address", "phone number", "IP address", "card number", "IBAN"

# A letter behind a backslash belongs to the escape: "\n@decorator.of" is no address, "\njane@site.org" has one.
_EMAIL = re.compile(
    r"(?:(?<=\\[nrt])|(?<![\w.+\-\\]))(?P<local>[A-Za-z0-9](?:[\w.+-]{0,62}[\w+-])?)"
    r"@(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![\w-])(?!\.[A-Za-z])",
    re.ASCII,
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w.-])", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])", re.ASCII)
# Of Visa, Mastercard, Discover, and American Express.
_CARD = re.compile(
    r"(?<![\w.+-])(?:(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d)([ -]?)\d{4}\1\d{4}\1\d{4}"
    r"|3[47]\d\d([ -]?)\d{6}\2\d{5})(?![\w.-])",
    re.ASCII,
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII)

_NOBODYS_DOMAIN = re.compile(r"(.*\.)?(example(\.(com|net|org))?|test|invalid|localhost)", re.IGNORECASE)
"""Reserved by RFC 2606: they are nobody's."""

_NOBODYS_NAME = ("git", "noreply", "no-reply")


def find_personal_data(text: str) -> list[TextSpan]:
    """Where personal data stands in `text`; spans may overlap.

    Raises:
        InputError: a package that this needs is not installed.
    """
    phones, is_card, is_iban = _checks()
    found = [TextSpan(*m.span(), EMAIL) for m in _EMAIL.finditer(text) if _is_somebodys(m["local"], m["domain"])]
    for pattern, kind, holds in (
        (_IPV4, IP_ADDRESS, _is_ipv4),
        (_IPV6, IP_ADDRESS, _is_ipv6),
        (_CARD, CARD, is_card),
        (_IBAN, IBAN, is_iban),
    ):
        found += [TextSpan(*m.span(), kind) for m in pattern.finditer(text) if holds(m[0])]
    return [*found, *phones(text)]


def _is_somebodys(local: str, domain: str) -> bool:
    return local.lower() not in _NOBODYS_NAME and not _NOBODYS_DOMAIN.fullmatch(domain)


def _is_ipv4(text: str) -> bool:
    """A public address of which two numbers have two digits and more; others are versions and sections: 3.1.1.6."""
    return sum(len(number) > 1 for number in text.split(".")) > 1 and _is_public(text)


def _is_ipv6(text: str) -> bool:
    """A public address of those given out (2000::/3); others are slices, scopes and labels: 1::2, c10::half."""
    return _is_public(text) and ipaddress.ip_address(text) in _GIVEN_OUT


_GIVEN_OUT = ipaddress.ip_network("2000::/3")


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


_Check = Callable[[str], bool]


@functools.cache
def _checks() -> tuple[Callable[[str], Iterator[TextSpan]], _Check, _Check]:
    """What finds phone numbers, and what tells cards and accounts by their check digits."""
    try:
        import phonenumbers
        from stdnum import iban, luhn
    except ImportError as error:
        raise InputError(
            f"preparation.redact.personal: needs phonenumbers and python-stdnum ({error}); pip install"
            " 'raysim[redaction]', or write off"
        ) from None

    def is_card(text: str) -> bool:
        digits = re.sub("[ -]", "", text)
        return len(set(digits)) > 2 and bool(luhn.is_valid(digits))

    return functools.partial(_phones, phonenumbers), is_card, lambda text: bool(iban.is_valid(text))


def _phones(library: Any, text: str) -> Iterator[TextSpan]:
    """Valid numbers with a country code; with a point, or a space behind its plus, it is a number of another kind."""
    if "+" in text:
        for match in library.PhoneNumberMatcher(text, None):
            if "." not in match.raw_string and not match.raw_string.startswith("+ "):
                yield TextSpan(match.start, match.end, PHONE)
