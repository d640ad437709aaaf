"""The parts of `ptycho.refinement`: configuration, start, the compiled update, the loop."""
