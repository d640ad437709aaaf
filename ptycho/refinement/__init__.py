"""The parts of `ptycho.refinement.run`: configuration, start, the compiled update, the loop."""
