"""A session on its node: the slot of its counts, and the first id of a block."""

NODE, PLACE = 65, 3
SLOT = 1 * 8 + PLACE  # the slots of 64 nodes, with 8 sessions each
MARK = 1 << 30
BLOCK = 2_048


class Lost(Exception):
    """The connection was lost."""
