"""Personal data as rules for the masking engine: formats, and the checksums that tell them from other numbers.

A format with a strong checksum, or one that nothing else looks like, is masked wherever it stands. Where any number of
the right length has a fair chance (a weak checksum, or none), a word such as ``PESEL`` must stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from ciguard.inspect.personal_data import PersonalData
from ciguard.inspect.secret_rule import WORD, Category, SecretRule


def personal_rules(kinds: Iterable[PersonalData]) -> tuple[SecretRule, ...]:
    """The rules that find ``kinds``."""
    return tuple(rule for kind in kinds for rule in _RULES[kind])


def email(text: str) -> bool:
    """Whether an address can be somebody's: not an example, not a robot's, not the name of a file or a version."""
    local, _, domain = text.lower().rpartition("@")
    labels = domain.split(".")
    if local in _ROBOTS or labels[-1] in _NOT_DOMAINS or sum(label.isdigit() for label in labels) > 1:
        return False
    return not (labels[-2] == "example" or domain.endswith("noreply.github.com"))


_ROBOTS = frozenset({"git", "no-reply", "noreply", "donotreply", "do-not-reply", "mailer-daemon", "root", "hg", "svn"})
_NOT_DOMAINS = frozenset(
    {
        "bmp",
        "cjs",
        "css",
        "dll",
        "exe",
        "gif",
        "gz",
        "htm",
        "html",
        "ico",
        "invalid",
        "jpeg",
        "jpg",
        "js",
        "json",
        "jsx",
    }
    | {
        "lock",
        "local",
        "localdomain",
        "localhost",
        "mjs",
        "pdf",
        "png",
        "scss",
        "svg",
        "test",
        "tgz",
        "ts",
        "tsx",
        "txt",
    }
    | {"webp", "whl", "xml", "yaml", "yml", "example", "internal"}
)
"""Names reserved by RFC 2606 and 6762, and ends of file names that are no top-level domains."""


def phone(text: str) -> bool:
    """Whether the number is one that can be assigned where it says that it is; without a country, in North America."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, None if text.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def payment_card(text: str) -> bool:
    """Whether the number has Luhn's check digit (ISO/IEC 7812-1), and length and prefix of an issuer."""
    from stdnum import luhn

    digits = re.sub(r"[ -]", "", text)
    if not luhn.is_valid(digits):
        return False
    prefix = int(digits[:4])
    return any(low <= prefix <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)


_ISSUERS = (
    (4000, 4999, (13, 16, 19)),
    (5100, 5599, (16,)),
    (2221, 2720, (16,)),
    (3400, 3499, (15,)),
    (3700, 3799, (15,)),
    (6011, 6011, (16, 19)),
    (6440, 6599, (16, 19)),
    (6200, 6299, (16, 17, 18, 19)),
    (3528, 3589, (16, 17, 18, 19)),
    (3000, 3059, (14,)),
    (3600, 3699, (14,)),
    (3800, 3999, (14, 16)),
    (5018, 5038, (16, 19)),
    (6304, 6304, (16, 19)),
    (6759, 6763, (16, 19)),
)
"""First and last four-digit prefix, and lengths: Visa, Mastercard, American Express, Discover, UnionPay, JCB, Diners
Club, Maestro."""


def iban(text: str) -> bool:
    """Whether check digits and structure are those of an account number (ISO 13616)."""
    from stdnum import iban as standard

    return bool(standard.is_valid(text, check_country=False))


def public_ip(text: str) -> bool:
    """Whether the address is routed on the internet, and does not look like a version or an object identifier."""
    import ipaddress

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 4:
        first, second = address.packed[:2]
        if max(address.packed) < _LEAST_OCTET or (first <= _LAST_ARC and second < _MOST_ARCS):
            return False
    return address.is_global and not address.is_multicast


_LEAST_OCTET = 32
"""Four numbers that are all smaller are taken for a version."""

_LAST_ARC = 2
_MOST_ARCS = 40
"""An object identifier begins with a number up to the first and one below the second of these (ITU-T X.660)."""


@dataclass(frozen=True, slots=True)
class NationalId:
    """A country's number for people: where python-stdnum checks it, how it is written, and the words that announce it
    where its checksum is weak."""

    module: str
    pattern: str
    words: str = ""

    @property
    def name(self) -> str:
        """The country's code of two letters and what the number is called."""
        return self.module.replace("_", "").replace(".", "-")

    @property
    def rule(self) -> SecretRule:
        """The rule that finds it."""
        check = f"national-id-{self.name}"
        kind = f"national-id-{self.name[:2]}"
        if not self.words:
            return SecretRule(kind, self.pattern, (), f"{WORD}_.+-", WORD, check=check, category=Category.PERSONAL)
        words = self.words.split("|")
        announced = "|".join(word.replace(" ", "[ _-]?") for word in words)
        return SecretRule(
            kind,
            rf"(?i:{announced})[A-Za-z ._#:='\"()-]{{0,24}}(?P<secret>{self.pattern})",
            tuple(dict.fromkeys(word.partition(" ")[0] for word in words)),
            WORD,
            WORD,
            check=check,
            category=Category.PERSONAL,
        )

    def is_valid(self, text: str) -> bool:
        """Whether the number is well formed, and its check digits are right where it has some."""
        return bool(import_module(f"stdnum.{self.module}").is_valid(text))


NATIONAL_IDS = (
    NationalId("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    NationalId("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    NationalId("ch.ssn", r"756\.?\d{4}\.?\d{4}\.?\d{2}"),
    NationalId("cn.ric", r"[1-9]\d{5}(?:19|20)\d{9}[0-9X]"),
    NationalId("fi.hetu", r"[0-3]\d[01]\d{3}[-A+]\d{3}[0-9A-Y]"),
    NationalId("fr.nir", r"[12] ?\d{2} ?[01]\d ?\d[0-9AB] ?\d{3} ?\d{3} ?\d{2}"),
    NationalId("it.codicefiscale", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"),
    NationalId("kr.rrn", r"\d{2}[01]\d[0-3]\d-\d{7}"),
    NationalId("mx.curp", r"[A-Z]{4}\d{2}[01]\d[0-3]\d[HM][A-Z]{5}[A-Z0-9]\d"),
    NationalId("au.tfn", r"\d{3} ?\d{3} ?\d{3}", "tfn|tax file"),
    NationalId("bg.egn", r"\d{10}", "egn"),
    NationalId("ca.sin", r"\d{3}[ -]?\d{3}[ -]?\d{3}", "sin|social insurance"),
    NationalId("cz.rc", r"\d{6}/?\d{3,4}", "rodne|birth number"),
    NationalId("de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "steuer|idnr|tax id"),
    NationalId("dk.cpr", r"\d{6}-?\d{4}", "cpr"),
    NationalId("ee.ik", r"\d{11}", "isikukood"),
    NationalId("es.dni", r"\d{8}-?[A-Z]", "dni|nif"),
    NationalId("es.nie", r"[XYZ]-?\d{7}-?[A-Z]", "nie"),
    NationalId("gb.nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "nhs"),
    NationalId("hr.oib", r"\d{11}", "oib"),
    NationalId("ie.pps", r"\d{7}[A-W][A-IW]?", "pps"),
    NationalId("il.idnr", r"\d{9}", "teudat|israeli id"),
    NationalId("in_.aadhaar", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", "aadhaar|aadhar"),
    NationalId("in_.pan", r"[A-Z]{5}\d{4}[A-Z]", "pan"),
    NationalId("nl.bsn", r"\d{9}", "bsn|burgerservice"),
    NationalId("no.fodselsnummer", r"\d{6} ?\d{5}", "fodsels|personnummer"),
    NationalId("pl.pesel", r"\d{11}", "pesel"),
    NationalId("pt.nif", r"\d{9}", "nif|contribuinte"),
    NationalId("ro.cnp", r"\d{13}", "cnp"),
    NationalId("se.personnummer", r"(?:19|20)?\d{6}[-+]?\d{4}", "personnummer|personnr"),
    NationalId("tr.tckimlik", r"\d{11}", "kimlik|tckn"),
    NationalId("us.ssn", r"\d{3}-\d{2}-\d{4}", "ssn|social security"),
    NationalId("za.idnr", r"\d{13}", "sa id|id number"),
)
"""Numbers for people that python-stdnum checks."""

_IBAN_LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Characters of an IBAN by country (the IBAN registry): so a number ends where the next word begins."""


def _iban_pattern() -> str:
    options = []
    for length, countries in _IBAN_LENGTHS.items():
        fours, rest = divmod(length - 4, 4)
        tail = f" ?[A-Z0-9]{{{rest}}}" if rest else ""
        options.append(rf"(?:{countries.replace(' ', '|')})\d{{2}}(?: ?[A-Z0-9]{{4}}){{{fours}}}{tail}")
    return "|".join(options)


def _rule(
    kind: PersonalData, pattern: str, *literals: str, before: str = f"{WORD}_.-", after: str = WORD, check: str
) -> SecretRule:
    return SecretRule(kind.value, pattern, literals, before, after, check=check, category=Category.PERSONAL)


_RULES: Mapping[PersonalData, tuple[SecretRule, ...]] = MappingProxyType(
    {
        PersonalData.EMAIL: (
            _rule(
                PersonalData.EMAIL,
                r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,6}[A-Za-z]{2,24}",
                "@",
                before=f"{WORD}._%+/:-",
                after=f"{WORD}_@-",
                check="email",
            ),
        ),
        PersonalData.PHONE: (
            _rule(PersonalData.PHONE, r"\+[1-9]\d{6,14}", "+", check="phone"),
            *(
                _rule(PersonalData.PHONE, rf"\+[1-9]\d{{0,3}}(?:[ ./-]\(?\d{{1,8}}\)?){{{groups}}}", "+", check="phone")
                for groups in range(1, 7)
            ),
            _rule(PersonalData.PHONE, r"\([2-9]\d{2}\) ?[2-9]\d{2}[ .-]\d{4}", "(", check="phone"),
        ),
        PersonalData.PAYMENT_CARD: tuple(
            _rule(PersonalData.PAYMENT_CARD, pattern, check="payment-card")
            for pattern in (
                r"[2-6]\d{12,18}",
                r"[2-6]\d{3}(?:[ -]\d{4}){3}",
                r"[2-6]\d{3}(?:[ -]\d{4}){3}[ -]\d{3}",
                r"3\d{3}[ -]\d{6}[ -]\d{4,5}",
            )
        ),
        PersonalData.IBAN: (_rule(PersonalData.IBAN, _iban_pattern(), check="iban"),),
        PersonalData.NATIONAL_ID: tuple(number.rule for number in NATIONAL_IDS),
        PersonalData.IP_ADDRESS: (
            _rule(PersonalData.IP_ADDRESS, r"\d{1,3}(?:\.\d{1,3}){3,6}", ".", after=f"{WORD}_-", check="public-ip"),
            _rule(
                PersonalData.IP_ADDRESS,
                r"[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}",
                ":",
                before=f"{WORD}:_.-",
                after=f"{WORD}:_",
                check="public-ip",
            ),
        ),
    }
)

PERSONAL_CHECKS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "email": email,
        "phone": phone,
        "payment-card": payment_card,
        "iban": iban,
        "public-ip": public_ip,
        **{number.rule.check: number.is_valid for number in NATIONAL_IDS},
    }
)
"""The checks that these rules name, beside those of :mod:`ciguard.inspect.checks`."""
