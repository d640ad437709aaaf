"""The command line `ptycho`: one module a command."""
