"""Forward parity: the same weights and inputs through each backend, compared tap by tap."""
