"""Google's own services as templates call them, and what is said over HTTP for it.

    arguments of a call ─▶ Asking: one request ─▶ its answer ─▶ Told: what the promise becomes

Sources: Google's reference of the sandbox [doc], BigQuery's and Firestore's of their REST [doc].
"""
