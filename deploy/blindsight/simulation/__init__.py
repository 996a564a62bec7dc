"""A whole federation on one machine, each party in its own folder."""
