"""A variant of the coursework for each student: a copied table of numbers is then a wrong one."""

import hashlib
import re
import unicodedata
from typing import NamedTuple


class Variant(NamedTuple):
    """What differs between students.

    Attributes:
        number: 0 to 7, of the variant.
        seed: of all networks; Notebook 2, Q2.
        z_keeps: 1 if a GRU's z = 1 keeps the state, 0 if it replaces it; Notebook 1, Q1.1 and Q1.2.
        digit: the digit whose first test image is looked at; Notebook 3, Q3.2.
        pair: the two digits whose gates are looked at; Notebook 3, bonus.
    """

    number: int
    seed: int
    z_keeps: int
    digit: int
    pair: tuple


NOT_FILLED_IN = (
    "student is not filled in: put your name there, in quotation marks, as on your teacher's list"
)
DIGITS = ((7, 3), (4, 9), (5, 2), (9, 6), (2, 7), (3, 8), (6, 1), (8, 4))


def variant(name: str = "") -> Variant:
    """The variant of a student: by the SHA-256 of the name's letters and digits, whatever their case and accents' form.

    Args:
        name: as the teacher's list has it; "" stands for the sheet as it is, variant 0.

    Returns:
        One of eight.

    Raises:
        ValueError: the name is not filled in, or is no text.

    The hand-out of a class with variants, first cells.
    """
    if not isinstance(name, str):
        raise ValueError(NOT_FILLED_IN)
    plain = unicodedata.normalize("NFKC", name).casefold()
    letters = "".join(filter(str.isalnum, plain))
    digest = hashlib.sha256(letters.encode()).digest()
    number = digest[0] % 8 if letters else 0
    digit, other = DIGITS[number]
    return Variant(number, seed=number, z_keeps=1 - number % 2, digit=digit, pair=(other, digit))


def person_of(name: str) -> str:
    """A name's words in alphabetical order, without case and accents: "Doe, Jane" is the person "Jane Doe".

    A name without letters and digits stands for itself. ValueError if nothing is filled in.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(NOT_FILLED_IN)
    return " ".join(sorted(words_of(name))) or name.strip()


def words_of(name: str) -> list[str]:
    """The words of a name in small letters without accents."""
    apart = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", plain)
