"""How good is a reconstruction: metrics, half sets, and the look at a scan before any work."""
