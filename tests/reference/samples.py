"""The JSON objects of Alpaca's protocol as its documents show them, by section, and what is compared: keys and kinds of values."""

import json
import re
from typing import Any

KINDS = (
    ("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    ("activity", r"\d{17}::[0-9a-f-]{36}"),
    ("time in UTC", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"),
    ("time with offset", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?[+-]\d\d:\d\d"),
    ("date", r"\d{4}-\d\d-\d\d"),
    ("decimal", r"-?\d+(\.\d+)?"),
)
UUID = "b0b6cb21-4c57-4f1a-9f25-7a0b54e2a001"


def kind(value: Any) -> Any:
    """The kind of a value; of an object its keys with their kinds, of an array the kind of its first element."""
    if isinstance(value, dict):
        return {key: kind(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [kind(value[0])] if value else []
    if isinstance(value, str):
        return next((name for name, pattern in KINDS if re.fullmatch(pattern, value)), "text")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "boolean", False: "boolean"}[value]
    return "number"


def differences(sample: Any, made: Any, where: str = "$") -> list[str]:
    """What a made kind has that the sample has not, and the other way round; null may stand for any value."""
    if isinstance(sample, dict) and isinstance(made, dict):
        found = [f"{where}.{key}: {'missing' if key in sample else 'not in the sample'}" for key in sorted(set(sample) ^ set(made))]
        for key in sample.keys() & made.keys():
            found += differences(sample[key], made[key], f"{where}.{key}")
        return found
    if isinstance(sample, list) and isinstance(made, list):
        return differences(sample[0], made[0], f"{where}[0]") if sample and made else []
    if "null" in (sample, made) or sample == made:
        return []
    # A name may look like a number ("B"), a whole price like a date: only what the sample says in words is loose.
    return (
        []
        if sample == "text" and isinstance(made, str) and made not in ("number", "boolean")
        else [f"{where}: {made}, not {sample}"]
    )


ORDER = {
    "id": UUID,
    "client_order_id": "pyrt-7f3a-1",
    "created_at": "2026-03-02T15:04:06.1Z",
    "updated_at": "2026-03-02T15:04:06.3Z",
    "submitted_at": "2026-03-02T15:04:06.1Z",
    "filled_at": None,
    "expired_at": None,
    "expires_at": "2026-03-02T21:00:00Z",
    "canceled_at": None,
    "failed_at": None,
    "replaced_at": None,
    "replaced_by": None,
    "replaces": None,
    "asset_id": UUID,
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "notional": None,
    "qty": "10",
    "filled_qty": "4",
    "filled_avg_price": "189.52",
    "order_class": "",
    "order_type": "market",
    "type": "market",
    "side": "buy",
    "position_intent": "buy_to_open",
    "time_in_force": "day",
    "limit_price": None,
    "stop_price": None,
    "status": "partially_filled",
    "extended_hours": False,
    "legs": None,
    "trail_percent": None,
    "trail_price": None,
    "hwm": None,
    "subtag": None,
    "source": None,
    "ratio_qty": None,
}

STREAM = {  # 1.2, 1.3, 1.4, 1.5: messages of the data stream, each as it stands in its array
    "connected": '{"T":"success","msg":"connected"}',
    "authenticated": '{"T":"success","msg":"authenticated"}',
    "subscription": """{"T":"subscription","trades":["AAPL"],"quotes":["MSFT","SPY"],"bars":["*"],"updatedBars":[],"dailyBars":[],
        "statuses":[],"lulds":[],"corrections":["AAPL"],"cancelErrors":["AAPL"]}""",
    "error": '{"T":"error","code":406,"msg":"connection limit exceeded"}',
    "t": """{"T":"t","S":"AAPL","i":52983,"x":"V","p":189.51,"s":100,"c":["@"],"z":"C","t":"2026-03-02T15:04:05.123456789Z"}""",
    "q": """{"T":"q","S":"AAPL","bx":"V","bp":189.5,"bs":3,"ax":"V","ap":189.53,"as":2,"c":["R"],"z":"C",
        "t":"2026-03-02T15:04:05.2Z"}""",
    "b": """{"T":"b","S":"AAPL","o":189.4,"h":189.6,"l":189.33,"c":189.51,"v":18230,"n":211,"vw":189.472113,
        "t":"2026-03-02T15:04:00Z"}""",
    "d": """{"T":"d","S":"AAPL","o":189.4,"h":189.6,"l":189.33,"c":189.51,"v":18230,"n":211,"vw":189.472113,
        "t":"2026-03-02T05:00:00Z"}""",
}

RARE = {  # 1.5, 1.6: what the stream tells now and then; s and l where trading stops, o of coins
    "u": """{"T":"u","S":"AAPL","o":189.4,"h":189.6,"l":189.33,"c":189.51,"v":18230,"n":211,"vw":189.472113,
        "t":"2026-03-02T15:04:00Z"}""",
    "c": """{"T":"c","S":"AAPL","x":"D","oi":7,"op":189.5,"os":10,"oc":["@"],"ci":8,"cp":189.4,"cs":10,"cc":["@"],"z":"C",
        "t":"2026-03-02T15:06:00Z"}""",
    "x": '{"T":"x","S":"AAPL","i":8,"x":"D","p":189.4,"s":10,"a":"C","z":"C","t":"2026-03-02T15:07:00Z"}',
    "s": """{"T":"s","S":"XYZ","sc":"H","sm":"Trading Halt","rc":"LUDP","rm":"Volatility Trading Pause","z":"C",
        "t":"2026-03-02T15:05:00.01Z"}""",
    "l": '{"T":"l","S":"XYZ","u":10.5,"d":9.5,"i":"B","z":"C","t":"2026-03-02T15:05:30.4Z"}',
}

BOOKS = {  # 1.6
    "whole": """{"T":"o","S":"BTC/USD","t":"2026-03-02T00:00:00.1Z","b":[{"p":61999.5,"s":0.5},{"p":61990,"s":1.1}],
        "a":[{"p":62001,"s":0.4}],"r":true}""",
    "change": '{"T":"o","S":"BTC/USD","t":"2026-03-02T00:00:00.2Z","b":[{"p":61999.5,"s":0}],"a":[]}',
}

ACCOUNT_STREAM = {  # 2
    "authorization": '{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}',
    "unauthorized": '{"stream":"authorization","data":{"status":"unauthorized","action":"listen"}}',
    "listening": '{"stream":"listening","data":{"streams":["trade_updates"]}}',
}

TRADING = {  # 3.1 to 3.7
    "account": """{"id":"UUID","account_number":"PA3ABC","status":"ACTIVE","crypto_status":"ACTIVE","currency":"USD",
        "cash":"98104.80","buying_power":"196209.60","regt_buying_power":"196209.60","non_marginable_buying_power":"97157.20",
        "options_buying_power":"98104.80","effective_buying_power":"196209.60","portfolio_value":"100000.10","equity":"100000.10",
        "last_equity":"100000","long_market_value":"1895.30","short_market_value":"0","position_market_value":"1895.30",
        "initial_margin":"947.65","maintenance_margin":"568.59","last_maintenance_margin":"0","sma":"100000","multiplier":"2",
        "accrued_fees":"0","pending_transfer_in":"0","trading_blocked":false,"transfers_blocked":false,"account_blocked":false,
        "trade_suspended_by_user":false,"shorting_enabled":true,"created_at":"2026-01-05T14:00:00Z","options_approved_level":2,
        "options_trading_level":2,"crypto_tier":1,"balance_asof":"2026-02-27"}""",
    "activity": """{"id":"20260302100406312::UUID","activity_type":"FILL","transaction_time":"2026-03-02T15:04:06.312Z",
        "type":"partial_fill","price":"189.52","qty":"4","side":"buy","symbol":"AAPL","leaves_qty":"6","cum_qty":"4",
        "order_id":"UUID","order_status":"partially_filled"}""",
    "position": """{"asset_id":"UUID","symbol":"AAPL","exchange":"NASDAQ","asset_class":"us_equity","asset_marginable":true,
        "qty":"10","qty_available":"6","side":"long","avg_entry_price":"189.52","market_value":"1896.00","cost_basis":"1895.20",
        "unrealized_pl":"0.80","unrealized_plpc":"0.000422","unrealized_intraday_pl":"0.80","unrealized_intraday_plpc":"0.000422",
        "current_price":"189.60","lastday_price":"187.10","change_today":"0.01336"}""",
    "clock": """{"timestamp":"2026-03-02T10:04:06.123-05:00","is_open":true,"next_open":"2026-03-03T09:30:00-05:00",
        "next_close":"2026-03-02T16:00:00-05:00"}""",
    "calendar": """{"date":"2024-07-03","open":"09:30","close":"13:00","session_open":"0400","session_close":"1700",
        "settlement_date":"2024-07-05"}""",
    "asset": """{"id":"UUID","class":"us_equity","exchange":"NASDAQ","symbol":"AAPL","name":"Apple Inc. Common Stock",
        "status":"active","tradable":true,"marginable":true,"shortable":true,"easy_to_borrow":true,"fractionable":true,
        "maintenance_margin_requirement":30,"attributes":["has_options","fractional_eh_enabled"]}""",
    "configurations": """{"fractional_trading":true,"no_shorting":false,"suspend_trade":false,"max_margin_multiplier":"4",
        "trade_confirm_email":"all","ptp_no_exception_entry":false,"max_options_trading_level":null}""",
    "history": """{"timestamp":[1772463840],"equity":[100000.1],"profit_loss":[0.1],"profit_loss_pct":[0.000001],
        "base_value":100000,"timeframe":"1Min"}""",
    "cancelled": '{"id":"UUID","status":200}',
    "closed": '{"symbol":"AAPL","status":200}',
}

ERRORS = {  # 3.3
    "unauthorized": '{"code":40110000,"message":"request is not authorized"}',
    "duplicate": '{"code":40010001,"message":"client_order_id must be unique"}',
    "not found": '{"code":40410000,"message":"order not found for UUID"}',
    "poor": '{"code":40310000,"message":"insufficient buying power","buying_power":"100.5","cost_basis":"200.25"}',
    "no shares": """{"code":40310000,"message":"insufficient qty available for order (requested: 5, available: 0)","available":"0",
        "existing_qty":"5","held_for_orders":"5","related_orders":["UUID"],"symbol":"AAPL"}""",
    "data": '{"message":"invalid limit"}',
}

BAR = '{"t":"2026-03-02T15:04:00Z","o":189.4,"h":189.6,"l":189.33,"c":189.51,"v":18230,"n":211,"vw":189.472113}'
TRADE = '{"t":"2026-03-02T15:04:05.1Z","x":"V","p":189.51,"s":100,"c":["@"],"i":52983,"z":"C"}'
QUOTE = '{"t":"2026-03-02T15:04:05.1Z","ax":"V","ap":189.53,"as":2,"bx":"V","bp":189.5,"bs":3,"c":["R"],"z":"C"}'
SNAPSHOT = f'{{"latestTrade":{TRADE},"latestQuote":{QUOTE},"minuteBar":{BAR},"dailyBar":{BAR},"prevDailyBar":{BAR}}}'
DATA = {  # 4
    "bars": f'{{"bars":{{"AAPL":[{BAR}]}},"next_page_token":"QUFQTHxN"}}',
    "trades": f'{{"trades":{{"AAPL":[{TRADE}]}},"next_page_token":null}}',
    "quotes": f'{{"quotes":{{"AAPL":[{QUOTE}]}},"next_page_token":null}}',
    "snapshots": f'{{"AAPL":{SNAPSHOT}}}',
    "latest trades": f'{{"trades":{{"AAPL":{TRADE}}}}}',
    "latest quotes": f'{{"quotes":{{"AAPL":{QUOTE}}}}}',
    "latest bars": f'{{"bars":{{"AAPL":{BAR}}}}}',
    "bars of one": f'{{"bars":[{BAR}],"symbol":"AAPL","next_page_token":null}}',
    "orderbooks": """{"orderbooks":{"BTC/USD":{"t":"2026-03-02T15:04:05.1Z","b":[{"p":61999.5,"s":0.5}],
        "a":[{"p":62001,"s":0.4}]}}}""",
    "nothing": '{"bars":{},"next_page_token":null}',
}


def read(text: str) -> Any:
    """A sample as Python objects."""
    return json.loads(text.replace("UUID", UUID))
