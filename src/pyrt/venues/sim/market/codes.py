"""The code tables of the US tapes, as GET /v2/stocks/meta tells them."""

EXCHANGES = {
    "A": "NYSE American (AMEX)",
    "B": "NASDAQ OMX BX",
    "C": "National Stock Exchange",
    "D": "FINRA ADF",
    "E": "Market Independent",
    "H": "MIAX",
    "I": "International Securities Exchange",
    "J": "Cboe EDGA",
    "K": "Cboe EDGX",
    "L": "Long Term Stock Exchange",
    "M": "Chicago Stock Exchange",
    "N": "New York Stock Exchange",
    "P": "NYSE Arca",
    "Q": "NASDAQ OMX",
    "S": "NASDAQ Small Cap",
    "T": "NASDAQ Int",
    "U": "Members Exchange",
    "V": "IEX",
    "W": "CBOE",
    "X": "NASDAQ OMX PSX",
    "Y": "Cboe BYX",
    "Z": "Cboe BZX",
}

_TRADES_OF_ALL = {
    "F": "Intermarket Sweep",
    "I": "Odd Lot Trade",
    "M": "Market Center Official Close",
    "N": "Next Day",
    "O": "Market Center Opening Trade",
    "P": "Prior Reference Price",
    "Q": "Market Center Official Open",
    "R": "Seller",
    "T": "Extended Hours Trade (Form T)",
    "U": "Extended Hours, Sold Out Of Sequence",
    "V": "Contingent Trade",
    "X": "Cross Trade",
    "Z": "Sold Out Of Sequence",
    "4": "Derivatively Priced",
    "5": "Market Center Reopening Trade",
    "6": "Market Center Closing Trade",
    "7": "Qualified Contingent Trade",
    "9": "Corrected Consolidated Close",
}
_CTA_TRADES = {
    " ": "Regular Sale",
    "B": "Average Price Trade",
    "C": "Cash Trade",
    "E": "Automatic Execution",
    "H": "Price Variation Trade",
}
_UTP_TRADES = {
    "@": "Regular Sale",
    "A": "Acquisition",
    "B": "Bunched Trade",
    "C": "Cash Sale",
    "D": "Distribution",
    "W": "Average Price Trade",
}
_QUOTES = {
    "A": "Slow Quote Offer Side",
    "B": "Slow Quote Bid Side",
    "C": "Closing Quote",
    "H": "Slow Quote Bid And Offer Sides",
    "L": "Market Maker Quotes Closed",
    "N": "Non Firm Quote",
    "O": "Opening Quote",
    "R": "Regular, Two Sided Open",
}

CONDITIONS = {
    ("trade", "A"): _TRADES_OF_ALL | _CTA_TRADES,
    ("trade", "B"): _TRADES_OF_ALL | _CTA_TRADES,
    ("trade", "C"): _TRADES_OF_ALL | _UTP_TRADES,
    ("quote", "A"): _QUOTES,
    ("quote", "B"): _QUOTES,
    ("quote", "C"): _QUOTES,
}
