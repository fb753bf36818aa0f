"""The core without a session: whole units at the edge (190 is $190), raw integers in `*_px`, `*_qty` and records."""
