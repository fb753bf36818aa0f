"""The venue on a port: REST, streams, clock, faults, and the record of what really happened."""
