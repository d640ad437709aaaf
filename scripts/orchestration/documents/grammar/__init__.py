"""What all documents share: positions, blocks, keys, references, commands, diagnostics."""
