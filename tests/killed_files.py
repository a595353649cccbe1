"""Copy the files of an open store as a killed process would leave them."""

import shutil

# Checkpoints go on while the files are copied. The epoch file records the progress of the database,
# and checkpoints move log pages into the database: copied in this order, no file is ahead of the
# next.
KILLED_FILES = (".epoch", "-wal", "")


def copy_killed(database, to):
    """Copy a database as a kill would leave it; nothing may be committed during the copy."""
    for suffix in KILLED_FILES:
        shutil.copyfile(f"{database}{suffix}", f"{to}{suffix}")
