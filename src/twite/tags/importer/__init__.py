"""Import a container export from Google Tag Manager, with a report line for every part.

    bytes ─ reading ─▶ Export ─ importing ─▶ ImportResult: the container, its templates' texts, a
                                             line for every part, and the extracted secrets

`coverage` lists how each type of part in Google's containers is imported.
"""
