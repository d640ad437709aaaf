"""How work lands: the branch, and the receipts that prove it."""
