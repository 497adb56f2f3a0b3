"""The teacher's rooms: the hand-out, and the grading of submissions with nbgrader. Never handed out."""


class Refused(Exception):
    """Raised where a call can't be followed; says why in a line."""


class Trouble(str):
    """A note that says that a grading did not come to its end; such a grading replaces no earlier one."""
