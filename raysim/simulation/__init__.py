"""Who trains when: the strategy protocol, the store, the ledger, the loop, the actors."""
