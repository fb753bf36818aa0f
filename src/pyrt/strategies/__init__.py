"""The Strategy class and the shipped examples, one a file."""

from pyrt.strategies.order import Order, Position
from pyrt.strategies.strategy import Desk, Strategy

__all__ = ["Desk", "Order", "Position", "Strategy"]
