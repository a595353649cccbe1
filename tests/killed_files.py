"""What a killed process leaves of a store, taken from one that is open."""

import shutil

# Checkpoints go on while the files are copied. The epoch file says how far the database has come,
# and what leaves the log is in the database: in this order, no copy is ahead of the next.
KILLED_FILES = (".epoch", "-wal", "")


def copy_killed(database, to):
    """Copy a database that nothing is committed to meanwhile, as a kill would leave it."""
    for suffix in KILLED_FILES:
        shutil.copyfile(f"{database}{suffix}", f"{to}{suffix}")
