"""`twite sync`: fetch what a sender has not delivered."""
