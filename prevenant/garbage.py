"""How often the interpreter looks for cycles: seldom, where there are many objects and few cycles."""

import gc


def collect_seldom() -> None:
    """Leave what stands by now to itself, and look for cycles less often than after 700 objects.

    The frames of one batch alone are thousands of objects, and none of them is part of a cycle.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
