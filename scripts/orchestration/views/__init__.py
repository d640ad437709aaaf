"""Views: what a person sees. Everything is computed from the log, the ledger and the branch."""
