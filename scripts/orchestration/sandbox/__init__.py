"""The one way to start a program: fence, limits, clocks, reaping, environment."""
