"""HTTP requests to Google's services on behalf of templates, and their results.

    arguments of a call ─▶ GoogleRequest ─▶ HTTP response ─▶ GoogleResult: settles the promise

Sources: Google's reference of the sandbox [doc], BigQuery's and Firestore's of their REST [doc].
"""
