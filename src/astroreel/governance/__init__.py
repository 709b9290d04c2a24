"""What decides which version classifies: the gate, the ledger, the reconciler and the deployed pointer."""
