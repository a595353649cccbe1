"""The only row of the table `deployment` in SQLite."""

from twite.stores.sql.rows.table_row import TableRow


class DeploymentRow(TableRow):
    id: int
    salt: bytes
    epoch: int
    clean: int
    ahead: int | None
    turn: int
    marked: int
    commits: int
