"""What pyrt costs, measured: `python -m bench` writes RESULTS.md, `make bench` shows the parts under pytest-benchmark."""
