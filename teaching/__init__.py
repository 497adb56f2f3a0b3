"""The teacher's rooms: the hand-out, and the grading of submissions with nbgrader. Never handed out."""
