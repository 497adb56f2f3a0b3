"""The kinds of questions of a talk, in words that can be handed out beforehand."""

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of question.

    Attributes:
        about: the question of the sheet that it comes back to.
        words: what it asks, for students.
    """

    about: str
    words: str


KINDS = {
    "change": Kind(
        "Q1",
        "One gate of your setting is set free, or to another value: does the cell still do it, and why?",
    ),
    "convention": Kind(
        "Q1", "The other convention of z: what does your setting of the GRU do then?"
    ),
    "sigmoid": Kind(
        "Q1",
        "A sigmoid never reaches 1: what is left of a state after some rows, and what of your setting?",
    ),
    "counterexample": Kind(
        "Q1", "One number of your counterexample is another one: is it still one?"
    ),
    "own": Kind(
        "Q1",
        "The cells of your own, in a class with variants: another value, or why nothing does it?",
    ),
    "weights": Kind("Q2", "How many numbers does a layer of yours learn, and where do they go?"),
    "gap": Kind("Q2", "Two of your networks on the same images: is one of them better?"),
    "apart": Kind("Q2", "Two of your networks read one digit: from which row on do they differ?"),
    "early": Kind(
        "Q3", "Reading a few rows early, or blanking them and reading at the end: which is better?"
    ),
    "leave": Kind(
        "Q3", "A digit that your network gets wrong: after which row does it leave the right class?"
    ),
    "settle": Kind(
        "Q3", "A digit that it gets right: after which row does the answer not change any more?"
    ),
    "longer": Kind("Q3", "Blank rows are added below a digit: what does your network answer then?"),
    "same": Kind("Q3", "Two digits: in which rows are the states of your network the same?"),
    "step": Kind(
        "bonus", "One unit of your network at one row: compute its new state from the gates."
    ),
    "half": Kind("bonus", "How long does one unit of your network keep half of its state?"),
}
ABOUT = ("Q1", "Q2", "Q3", "bonus")
