"""What every store must do, a file for each port or part of one. `ledger_contract` adds them up."""
