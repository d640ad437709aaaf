"""`train`: the loop, what a step is fed, checkpoints, history, the collapse detector."""
