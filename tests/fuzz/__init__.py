"""Bytes that nobody would send into what reads bytes: `python -m tests.fuzz [TARGET ...] [--seconds N]`.

A target is fed mutations of its corpus (`corpus/TARGET/`) by a process of its own, each input up against a page that must not be
touched. A crash, a hang, an unexpected exception or a broken promise ends it; the input becomes a file of the corpus, which the
suite replays from then on.
"""
