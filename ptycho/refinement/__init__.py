"""The parts of `ptycho.refinement.refine`: configuration, start, the compiled update, the loop."""
