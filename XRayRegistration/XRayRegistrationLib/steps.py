"""Work that the window does a step at a time, as generators that return what they made."""


def whole(steps):
    """What steps return, taken one after the other at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
