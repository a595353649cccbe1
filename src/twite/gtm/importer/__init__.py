"""A container as Google's tag manager exports it → a container of ours, and a report line by line.

    bytes ─ reading ─▶ Export ─ importing ─▶ Imported: the container, its templates' texts, a line
                                             for every part, and the secrets that were taken out

`coverage` says of every kind of part that Google has what becomes of it.
"""
