"""Stored market data: readers and writers."""
