"""From signal to intent: sizers, pure."""
