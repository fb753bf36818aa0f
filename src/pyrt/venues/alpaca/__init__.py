"""Alpaca: data stream, trading stream, REST."""
