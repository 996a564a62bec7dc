"""What all parties agree on: formats, signatures, membership, key agreement, schemes. No I/O in the cores."""
