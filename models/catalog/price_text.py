"""A price as text: "12.50", "12,50", "1 299,00 EUR", "€12"; refused if it means two things."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.errors import CatalogError

# Without metals, funds and test codes.
_ISO_4217 = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP "
    "BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR "
    "KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
    "MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR "
    "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS "
    "UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG"
)
_CODES = frozenset(_ISO_4217.split())
_SIGNS = {
    "€": "EUR",
    "£": "GBP",
    "zł": "PLN",
    "kč": "CZK",
    "₹": "INR",
    "₺": "TRY",
    "₴": "UAH",
    "₪": "ILS",
}
_SHARED = {
    "$": ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "MXN", "TWD", "ARS", "CLP", "COP", "BRL"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "kr.": ("DKK", "NOK", "ISK"),
    "¥": ("JPY", "CNY"),
}
"""Signs of several currencies: fine where the row says which."""

_PRICE = re.compile(
    r"([^\W\d_]{1,3}\.?|[^\w\s.,'-])?\s*([0-9][0-9 .,']*?)\s*([^\W\d_]{1,3}\.?|[^\w\s.,'-])?"
)
_PLAIN = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
_GROUPED = re.compile(
    r"[0-9]{1,3}(?P<group>[ '.,])[0-9]{3}(?:(?P=group)[0-9]{3})*(?:(?!(?P=group))[.,][0-9]+)?"
)
# One mark and three digits: a thousand in one country, one and a bit in another.
_AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})

HOW = "write the number alone, with a decimal point (12.50), and the currency in `currency`"


@dataclass(frozen=True)
class PriceText:
    """The price, the currency that the text names, and whether its decimals follow a comma."""

    price: float
    currency: str | None = None
    decimal_comma: bool = False


def parse_price(text: str, currency: str | None) -> PriceText:
    """The price in a text; `currency` is what the row says beside it.

    Raises:
        CatalogError: it is no price, or may mean two; `HOW` says what to write.
    """
    cleaned = text.translate(_SPACES).strip()
    found = _PRICE.fullmatch(cleaned) if len(cleaned) <= 40 else None
    if not found:
        raise CatalogError(f"is no price: {HOW}")
    number, decimal_comma = _number(found[2])
    signs = [sign for sign in (found[1], found[3]) if sign]
    code = next((sign.upper() for sign in signs if sign.upper() in _CODES), None)
    named = {_currency(sign, currency or code) for sign in signs}
    if len(named) > 1:
        raise CatalogError(f"names two currencies: {HOW}")
    if named and currency and named != {currency.strip().upper()}:
        raise CatalogError(f"names another currency than `currency`, {currency!r}: {HOW}")
    return PriceText(number, next(iter(named), None), decimal_comma)


def _number(text: str) -> tuple[float, bool]:
    if _AMBIGUOUS.fullmatch(text):
        raise CatalogError(f"may be thousands or decimals: {HOW}")
    if _PLAIN.fullmatch(text):
        return float(text.replace(",", ".")), "," in text
    if not (grouped := _GROUPED.fullmatch(text)):
        raise CatalogError(f"is no price: {HOW}")
    digits = text.replace(grouped["group"], "")
    return float(digits.replace(",", ".")), "," in digits


def _currency(sign: str, given: str | None) -> str:
    if (code := sign.upper()) in _CODES:
        return code
    if sign.lower() in _SIGNS:
        return _SIGNS[sign.lower()]
    if (several := _SHARED.get(sign.lower())) is None:
        raise CatalogError(f"is no price: {HOW}")
    if (chosen := (given or "").strip().upper()) in several:
        return chosen
    raise CatalogError(f"has a sign of several currencies ({', '.join(several[:3])}, …): {HOW}")
