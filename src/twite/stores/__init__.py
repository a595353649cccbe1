"""Stores: what the gateway's ledger, outbox, records and desk rest on."""
