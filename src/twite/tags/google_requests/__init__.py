"""HTTP requests to Google's services on behalf of templates, and their results.

    arguments of a call ─▶ GoogleRequest ─▶ HTTP response ─▶ GoogleResult: settles the promise

Sources: Sources: Google's reference of the sandbox [doc], and those of BigQuery's and Firestore's
REST APIs [doc].
"""
