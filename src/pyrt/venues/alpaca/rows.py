"""Alpaca's objects as they come: the fields that are read, and those that are known and not read."""

from typing import Any

import msgspec

Text = str | int | None


class Order(msgspec.Struct):
    id: str
    client_order_id: str
    symbol: str | None = None
    side: str | None = None
    type: str | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    qty: Text = None
    filled_qty: Text = None
    filled_avg_price: Text = None
    limit_price: Text = None
    stop_price: Text = None
    status: str = ""
    created_at: str | None = None
    updated_at: str | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    order_class: str | None = None
    trail_price: Text = None
    trail_percent: Text = None
    legs: list[dict[str, Any]] | None = None


class Activity(msgspec.Struct):
    id: str
    activity_type: str
    net_amount: Text = None
    symbol: str | None = None
    qty: Text = None
    date: str | None = None
    created_at: str | None = None


class Fill(msgspec.Struct):
    id: str
    order_id: str
    symbol: str
    side: str
    price: Text
    qty: Text
    cum_qty: Text
    transaction_time: str


class Position(msgspec.Struct):
    symbol: str
    qty: Text
    asset_class: str | None = None
    side: str = ""
    avg_entry_price: Text = None
    current_price: Text = None


class Account(msgspec.Struct):
    id: str
    cash: Text
    buying_power: Text
    equity: Text
    last_equity: Text
    multiplier: Text = None
    status: str = ""
    trading_blocked: bool = False
    account_blocked: bool = False
    trade_suspended_by_user: bool = False
    shorting_enabled: bool = True
    non_marginable_buying_power: Text = None
    crypto_status: str | None = None
    options_trading_level: int | None = None
    accrued_fees: Text = None


class Configuration(msgspec.Struct):
    no_shorting: bool = False
    fractional_trading: bool = True
    suspend_trade: bool = False
    max_options_trading_level: int | None = None


class Update(msgspec.Struct):
    event: str
    order: dict[str, Any]
    timestamp: str | None = None
    at: str | None = None
    price: Text = None
    qty: Text = None
    execution_id: str | None = None
    previous_execution_id: str | None = None
    position_qty: Text = None


class Frame(msgspec.Struct):
    stream: str
    data: dict[str, Any] = {}


# Fields of the venue's objects that are known and not read; anything else is new and counted.
KNOWN: dict[type[msgspec.Struct], frozenset[str]] = {
    Order: frozenset(Order.__struct_fields__)
    | frozenset(
        (
            "submitted_at", "filled_at", "expired_at", "expires_at", "canceled_at", "failed_at", "replaced_at",
            "asset_id", "asset_class", "notional", "position_intent", "extended_hours", "hwm", "subtag", "source", "ratio_qty",
            "commission"
        )
    ),
    Update: frozenset(Update.__struct_fields__) | {"event_id"},
    Activity: frozenset(Activity.__struct_fields__)
    | frozenset(
        ("description", "status", "price", "per_share_amount", "currency", "group_id", "cusip", "swap_rate", "activity_sub_type")
    ),
    Fill: frozenset(Fill.__struct_fields__) | frozenset(["activity_type", "type", "leaves_qty", "order_status"]),
}  # fmt: skip
