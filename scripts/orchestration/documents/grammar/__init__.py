"""What all documents share: text with positions, blocks, keys, references, commands, diagnostics."""
