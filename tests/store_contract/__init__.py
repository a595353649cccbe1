"""The store contract, a file for each port or part of one. `ledger_contract` combines them."""
