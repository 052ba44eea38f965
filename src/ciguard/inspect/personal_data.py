"""The kinds of personal data that policies name."""

from __future__ import annotations

from enum import StrEnum


class PersonalData(StrEnum):
    """Kinds of personal data that a policy can have masked."""

    EMAIL = "email"
    PHONE = "phone"
    PAYMENT_CARD = "payment-card"
    IBAN = "iban"
    NATIONAL_ID = "national-id"
    IP_ADDRESS = "ip-address"


class NameKind(StrEnum):
    """Kinds of names that a policy can have masked, where a model recognises them."""

    PERSON = "person"
    LOCATION = "location"
