"""The venue in the box: an exchange that speaks the Alpaca protocol."""
