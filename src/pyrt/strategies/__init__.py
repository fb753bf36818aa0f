"""The Strategy class and the shipped examples, one a file."""

from pyrt.strategies.strategy import Desk, Order, Position, Strategy

__all__ = ["Desk", "Order", "Position", "Strategy"]
