"""Questions on Q2, Q3 and the bonus: what a student's own networks do, computed from their weights."""

import random
from collections.abc import Callable

import numpy as np

import helpers
from coursework.analysis import commit_step
from coursework.layers import layer_outputs
from coursework.readout import read_out
from teaching import talk_figures as figures
from teaching.talk_work import Network, Question, Work

BLANK = (4, 8, 12, 20)  # rows that are added below a digit


def single(work: Work, draw: random.Random, *families: str) -> Network | None:
    """One of the networks with a single recurrent layer, drawn; None if there is none."""
    networks = work.plain(*families)
    return draw.choice(networks) if networks else None


def chosen(draw: random.Random, which: np.ndarray) -> int | None:
    """The number of one of the images for which `which` (N,) is true, drawn; None if there is none."""
    numbers = np.flatnonzero(which)
    return int(draw.choice(list(numbers))) if len(numbers) else None


# Q2 ------------------------------------------------------------------------------------------------------------------
def weights(work: Work, draw: random.Random) -> Question | None:
    """How many numbers a recurrent layer learns."""
    network = single(work, draw)
    if network is None:
        return None
    kernel, recurrent, bias = (np.array(each) for each in network.layer.get_weights())
    units, count = len(recurrent), kernel.size + recurrent.size + bias.size
    blocks = recurrent.shape[1] // units
    said = f"{blocks} blocks of {kernel.shape[0]} x {units} for the row, {units} x {units} for h_prev, "
    said += f"{bias.size // blocks} for the biases: {count:,}"
    more = " (Keras's GRU adds its reset gate after the product, so it has two biases a unit)"
    parts = {"for the row": kernel.size, "for h_prev": recurrent.size, "biases": bias.size}
    return Question(
        f"How many numbers does the recurrent layer of your {network.label} learn? "
        f"For which of them does the number of rows of an image matter?",
        f"{said}{more if bias.ndim == 2 else ''}. For none: all rows share them.",
        "And if the images were 40 pixels wide? If they had 40 rows?",
        figures.bars(parts, "numbers that are learned"),
        f"Bars: {', '.join(f'{size} {name}' for name, size in parts.items())}.",
    )


def gap(work: Work, draw: random.Random) -> Question | None:
    """Is one of two networks better?"""
    networks = list(work.networks.values())
    if len(networks) < 2:
        return None
    one, other = draw.sample(networks, 2)
    compared = helpers.mcnemar(one.right, other.right)
    total = len(one.right)
    shares = {each.label: float(each.right.mean()) for each in (one, other)}
    said = " and ".join(f"{label} {share:.4f}" for label, share in shares.items())
    verdict = compared.verdict()
    answer = {"better": f"{one.label} is better", "worse": f"{other.label} is better"}
    words = answer.get(verdict, "the two can't be told apart")
    return Question(
        f"On the {total:,} test images your networks reach {said}. How many images does only one of them get right, "
        f"about? Is one of them better?",
        f"{compared.only_a} only {one.label}, {compared.only_b} only {other.label}; by McNemar's test (p = "
        f"{compared.p:.2g}) {words}.",
        "What would another seed change? How would you find out?",
        figures.bars(
            {f"only {one.label}": compared.only_a, f"only {other.label}": compared.only_b}, "images"
        ),
        f"Images that only one of the two networks gets right: {compared.only_a} and {compared.only_b}.",
    )


def apart(work: Work, draw: random.Random) -> Question | None:
    """From which row on two networks differ on a digit."""
    networks = work.plain()
    if len(networks) < 2:
        return None
    one, other = draw.sample(networks, 2)
    image = chosen(draw, one.classes[:, -1] != other.classes[:, -1])
    if image is None:
        return None
    tracks = {each.label: each.classes[image] for each in (one, other)}
    differ = tracks[one.label] != tracks[other.label]
    row = int(np.flatnonzero(~differ)[-1]) + 2 if not differ.all() else 1
    answers = [int(each.classes[image, -1]) for each in (one, other)]
    return Question(
        f"Test image {image}, a {one.y[image]}: at the end your {one.label} answers {answers[0]}, your {other.label} "
        f"says {answers[1]}. Read after each row: from which row on do they differ for good? "
        f"What is there in the image?",
        f"From row {row} on, of {len(differ)}.",
        "Is that row where the decision falls? What else could one read from the state there?",
        figures.reading(one.x[image], tracks, row),
        f"The digit, and the class that each network reads after each row; row {row} is marked.",
    )


# Q3 ------------------------------------------------------------------------------------------------------------------
def early(work: Work, draw: random.Random) -> Question | None:
    """Reading early, or blanking the same rows and reading at the end."""
    network = single(work, draw)
    if network is None:
        return None
    back = draw.choice((2, 3, 4))
    row = network.x.shape[1] - back
    erased = helpers.erase_last(network.x, back)
    read = share(network.classes[:, row - 1], network.y)
    full = share(network.classes[:, -1], network.y)
    blanked = share(helpers.predictions_of(network.model, erased), network.y)
    values = {f"read at T - {back}": read, f"last {back} blank, read at T": blanked}
    values["all rows, at T"] = full
    more = "The same"
    if blanked != read:
        more = "More" if blanked > read else "Less"
    asks = f"Your {network.label}, read at T - {back}, gets {read:.3f} of {len(network.y):,} "
    asks += f"test images right. Now the last {back} rows of each image are blanked, "
    asks += f"and it reads to the end: more or less than {read:.3f}?"
    further = f"The ink of {back} rows is worth {full - blanked:+.3f}, "
    further += f"their steps {blanked - read:+.3f}: what is in a step without ink?"
    return Question(
        asks,
        f"{more}: {blanked:.3f}. At T with all rows it is {full:.3f}.",
        further,
        figures.bars(values, "share that is right"),
        f"Bars: {read:.3f} read early, {blanked:.3f} with blank rows, {full:.3f} with all rows.",
    )


def share(classes: np.ndarray, truth: np.ndarray) -> float:
    """The share of images that are read right."""
    return float((classes == truth).mean())


def leave(work: Work, draw: random.Random) -> Question | None:
    """A digit that is wrong in the end and was right before."""
    network = single(work, draw)
    if network is None:
        return None
    was_right = network.classes == network.y[:, None]
    image = chosen(draw, ~was_right[:, -1] & was_right[:, 5:].any(1))
    if image is None:
        return None
    row = int(np.flatnonzero(was_right[image])[-1]) + 1
    true, final = int(network.y[image]), int(network.classes[image, -1])
    return Question(
        f"Your {network.label} reads this {true} (test image {image}) as a {final}. After some rows it had the right "
        f"class. After which row does it leave it for good?",
        f"After row {row}: from row {row + 1} on it never answers {true} again.",
        "What stands in the next row? And if the ink below were erased?",
        figures.reading(network.x[image], {network.label: network.classes[image]}, row),
        f"The {true}, and the class read after each row; row {row}, the last right one, is marked.",
    )


def settle(work: Work, draw: random.Random) -> Question | None:
    """A digit that is right in the end: from when on?"""
    network = single(work, draw)
    if network is None:
        return None
    settled, last = commit_step(network.classes), helpers.last_ink(network.x)
    image = chosen(draw, (network.classes[:, -1] == network.y) & (settled > 3))
    if image is None:
        return None
    row, ink = int(settled[image]), int(last[image])
    where = "after the last ink" if row > ink else "in the ink"
    return Question(
        f"Your {network.label} gets this {network.y[image]} (test image {image}) right. Its ink ends in row {ink}. "
        f"After which row does the answer never change again: in the ink, or later?",
        f"After row {row}, {where}.",
        "Was the class not known before? How would you find out whether it can be read from the state?",
        figures.reading(network.x[image], {network.label: network.classes[image]}, row),
        f"The digit, and the class read after each row; row {row} is marked.",
    )


def longer(work: Work, draw: random.Random) -> Question | None:
    """Blank rows below a digit."""
    network = single(work, draw)
    if network is None:
        return None
    image = chosen(draw, network.classes[:, -1] == network.y)
    if image is None:
        return None
    more, steps = draw.choice(BLANK), network.x.shape[1]
    images = np.pad(network.x, ((0, 0), (0, more), (0, 0)))
    states = layer_outputs(network.layer, images)
    classes = read_out(network.model, states).argmax(-1)
    before = share(network.classes[:, -1], network.y)
    now = share(classes[:, -1], network.y)
    asks = f"Your {network.label} gets this {network.y[image]} (test image {image}) right "
    asks += f"after {steps} rows. Now {more} blank rows follow. What does it answer then? "
    asks += "And how many of all images are still right, about?"
    answer = f"{classes[image, -1]}; of {len(images):,} images {now:.3f} are right, "
    return Question(
        asks,
        f"{answer}before {before:.3f}.",
        "Nothing was read in these rows: what moved? What in the training would have to differ?",
        figures.reading(network.x[image], {network.label: classes[image]}, steps),
        f"The digit, and the class read after each of {steps + more} rows; row {steps} is marked.",
    )


def same(work: Work, draw: random.Random) -> Question | None:
    """In which rows two digits have the same state."""
    network = single(work, draw)
    if network is None:
        return None
    first = helpers.first_ink(network.x)
    one = chosen(draw, (first > 2) & (first <= network.x.shape[1]))
    other = None if one is None else chosen(draw, (first > 2) & (network.y != network.y[one]))
    if one is None or other is None:
        return None
    equal = (network.x[one] == network.x[other]).all(-1)
    rows = int(equal.argmin()) if not equal.all() else len(equal)
    apart_by = np.linalg.norm(network.h[one] - network.h[other], axis=-1)
    moved = float(np.linalg.norm(network.h[one, rows - 1]))
    return Question(
        f"Test images {one} and {other}, a {network.y[one]} and a {network.y[other]}: after which rows is the output h "
        f"of your {network.label} the same for both? Is it zero there?",
        f"After the first {rows}, in which the images are the same. It is not zero: after row {rows} its length is "
        f"{moved:.2f}, from the biases.",
        f"In the end the two are {apart_by[-1]:.2f} apart. Can the network do anything with the steps before the ink?",
        figures.digits(
            [network.x[one], network.x[other]], [f"image {one}", f"image {other}"], rows
        ),
        f"The two digits; row {rows} is marked.",
    )


# Bonus ---------------------------------------------------------------------------------------------------------------
def step(work: Work, draw: random.Random) -> Question | None:
    """The new state of a unit, from its gates."""
    network = single(work, draw)
    if network is None:
        return drawn_step(draw)
    image = draw.randrange(len(network.x))
    row = draw.randrange(8, 24)
    traced = helpers.trace(network.model, network.x[[image]])
    state = "c" if "c" in traced else "h"
    states = np.pad(traced[state][0], ((1, 0), (0, 0)))  # from the zero state on
    moves = np.abs(states[row] - states[row - 1])
    unit = draw.choice(np.argsort(moves)[-8:].tolist())  # one that moves
    now = {}
    for name, values in traced.items():
        now[name] = float(values[0, row - 1, unit])
    track = states[:, unit]
    now["old"] = float(track[row - 1])
    whose = f"Your {network.label}, unit {unit + 1}, at row {row} of test image {image}"
    return one_step(whose, state, now, track, row)


def drawn_step(draw: random.Random) -> Question:
    """The same with numbers that are nobody's, for who has no network."""
    keeps = round(draw.uniform(0.05, 0.95), 2)
    lets = round(draw.uniform(0.05, 0.95), 2)
    g = round(draw.uniform(-0.9, 0.9), 2)
    old = round(draw.uniform(-0.9, 0.9), 2)
    whose, state = "One unit of some LSTM", "c"
    if draw.random() < 0.5:
        whose, state = "One unit of some GRU", "h"
        lets = 1 - keeps
    new = keeps * old + lets * g
    now = {"f": keeps, "z": keeps, "i": lets}
    now |= {"g": g, "old": old, state: new}
    track = np.array([old, new])
    return one_step(whose, state, now, track, 1)


def one_step(
    whose: str, state: str, now: dict[str, float], track: np.ndarray, row: int
) -> Question:
    """The question on a step: `now` has the values by name, `old` the state before."""
    gates = ("f", "i", "g") if state == "c" else ("z", "g")
    said = ", ".join(f"{name} = {now[name]:.2f}" for name in gates)
    formula = "f c_prev + i g" if state == "c" else "z h_prev + (1 - z) g"
    return Question(
        f"{whose}: {said}, and {state}_prev = {now['old']:.2f}. "
        f"What is {state} now? What of it is old, what is new?",
        f"{formula} = {now[state]:.2f}.",
        f"What would you set so that this unit keeps {now['old']:.2f} here?",
        figures.curves({f"{state} of the unit": track}, "rows read", state, row),
        f"The state {state} of the unit over the rows; row {row} is marked.",
    )


def half(work: Work, draw: random.Random) -> Question | None:
    """How long a unit keeps half of its state."""
    network = single(work, draw)
    if network is None:
        return None
    gate = "f" if network.experiment.family == "LSTM" else "z"
    few = network.x[:200]
    blank = helpers.places_of_rows(few)["blank below"]
    if not blank.any():
        return None
    kept = helpers.trace(network.model, few)[gate][blank].mean(0)
    unit = draw.randrange(len(kept))
    value = float(np.clip(kept[unit], 1e-6, 1 - 1e-6))
    rows = np.log(0.5) / np.log(value)
    left = value ** np.arange(29)
    return Question(
        f"Unit {unit + 1} of your {network.label}: in the blank rows below a digit its {gate} is {value:.2f} on "
        f"average. If nothing new came in, after how many rows would half of its state be left?",
        f"log(1/2) / log({value:.2f}) = {rows:.1f} rows.",
        f"In Q1.2 you needed {gate} = 1. Why does the training not lead there?",
        figures.curves({f"{value:.2f}^rows": left}, "rows", "share that is left", rows),
        f"The share that is left over the number of rows; half of it after {rows:.1f}.",
    )


MAKERS: dict[str, Callable[[Work, random.Random], Question | None]] = {
    "weights": weights,
    "gap": gap,
    "apart": apart,
    "early": early,
    "leave": leave,
    "settle": settle,
    "longer": longer,
    "same": same,
    "step": step,
    "half": half,
}
