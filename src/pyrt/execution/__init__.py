"""ExecutionEngine: order lifecycle, submit and recovery algorithms, reconciliation."""

from pyrt.execution.cid import cid, parse_cid
from pyrt.execution.engine import ExecutionEngine
from pyrt.execution.orders import Order
from pyrt.execution.step import Settings

__all__ = ["ExecutionEngine", "Order", "Settings", "cid", "parse_cid"]
