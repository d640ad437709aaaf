"""`reconstruct`: predict, align phases, stitch; and the dump of what passed through."""
