"""Venues: adapters that own sockets, and the venue in the box."""
