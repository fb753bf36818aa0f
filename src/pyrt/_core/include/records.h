/* The records that every part of pyrt exchanges. One header of 32 bytes; market records are 64 bytes, the others 128.
 * Units: px int64 in 1e-9 of the currency; qty int64 in 10^-k, k = qty_exp of the instrument; times int64 ns UTC. */
#ifndef PYRT_RECORDS_H
#define PYRT_RECORDS_H
#include <assert.h>
#include <stdint.h>

#define PX_ONE 1000000000LL
#define NO_PX INT64_MIN                 /* this side of the market is empty */

typedef __int128 i128;
typedef unsigned __int128 u128;

#define PYRT_HEADER                                                                                      \
    uint16_t type;       /* RecordType */                                                                 \
    uint16_t flags;      /* Flag bits */                                                                  \
    uint32_t instrument; /* id allotted by the journal's owner; 0 = none */                               \
    uint64_t seq;        /* place in the inbox of the process that numbered it */                         \
    int64_t ts_event;    /* ns UTC, the venue's stamp */                                                  \
    int64_t ts_recv;     /* ns UTC, when we read it */

typedef struct { PYRT_HEADER } header_t;

typedef struct {
    PYRT_HEADER
    int64_t px, qty;
    uint64_t trade_id;
    uint32_t conditions; /* up to four sale condition letters, first one lowest byte */
    uint8_t exchange, tape;
    uint8_t taker;       /* SIDE_BUY, SIDE_SELL or 0 = not told */
    uint8_t reserved;
} trade_t;

typedef struct {
    PYRT_HEADER
    int64_t bid_px, ask_px;   /* NO_PX where a side is empty */
    int64_t bid_qty, ask_qty;
} quote_t;

typedef struct {
    PYRT_HEADER
    int64_t px, qty;     /* qty is the level's new total; 0 removes the level */
    uint64_t update_id;  /* the venue's last update id; 0 = the venue has none */
    uint32_t span;       /* update_id - first update id of this event */
    uint8_t side, action;
    uint16_t reserved;
} delta_t;

typedef struct {
    PYRT_HEADER
    int64_t upper_px, lower_px; /* LULD bands, NO_PX = none told */
    uint32_t reason;            /* up to four letters, first one lowest byte */
    uint32_t code;              /* status code or LULD indicator, letters as above */
    uint8_t tape;
    uint8_t state;              /* TradingState */
    uint8_t reserved[6];
} status_t;

typedef struct {
    PYRT_HEADER
    uint64_t missed;            /* how many messages, 0 = not known */
    int64_t from_ts, to_ts;     /* the time that nobody saw; to_ts 0 = not over */
    uint32_t cause;             /* GapCause */
    uint32_t reserved;
} gap_t;

typedef struct {
    PYRT_HEADER
    uint64_t key;               /* what the owner calls it */
    int64_t at;                 /* when it was due, ns of its clock */
    uint32_t owner;             /* component */
    uint8_t clock;              /* CLOCK_VENUE or CLOCK_MONO */
    uint8_t reserved[11];
} timer_t_;

typedef union {
    header_t header;
    trade_t trade;
    quote_t quote;
    delta_t delta;
    status_t status;
    gap_t gap;
    timer_t_ timer;
} market_t;

typedef struct {
    PYRT_HEADER                 /* ts_event = end of the bar's interval */
    int64_t start;              /* ns UTC, inclusive */
    int64_t interval;           /* ns */
    int64_t open_px, high_px, low_px, close_px;
    int64_t volume;             /* qty units */
    uint64_t notional_lo;       /* sum of px * qty, 128 bits, low word */
    int64_t notional_hi;
    uint32_t trades;
    uint32_t revision;          /* 0 = first; n = amended n times */
    uint64_t reserved[2];
} bar_t;

typedef struct {
    PYRT_HEADER
    char symbol[32];            /* NUL padded UTF-8 */
    char currency[8];
    int64_t tick;               /* px units, at and above 1.00 (or everywhere) */
    int64_t sub_tick;           /* px units below 1.00; = tick where the venue has one tick */
    int64_t lot;                /* qty units: quantities are multiples of it */
    int64_t multiplier;         /* units of one contract, 1 for shares */
    uint8_t qty_exp;            /* qty unit = 10^-qty_exp */
    uint8_t asset_class;        /* AssetClass */
    uint8_t venue;              /* Venue */
    uint8_t reserved[21];
} define_t;

/* What the market last said of an instrument; written by the market stage, read by risk in the same process. */
typedef struct {
    int64_t bid_px, ask_px, bid_qty, ask_qty; /* NO_PX, 0 where empty */
    int64_t quote_ts;                         /* venue ns of the last quote or book change; 0 = never */
    int64_t last_px, last_ts;                 /* last trade that may set a price; 0 = never */
    uint32_t flags;                           /* Flag bits in force: GAP, HALTED, CROSSED */
    uint32_t reserved;
} ref_t;

static_assert(sizeof(header_t) == 32, "header");
static_assert(sizeof(trade_t) == 64 && sizeof(quote_t) == 64 && sizeof(delta_t) == 64, "market");
static_assert(sizeof(status_t) == 64 && sizeof(gap_t) == 64 && sizeof(timer_t_) == 64, "market");
static_assert(sizeof(market_t) == 64 && sizeof(ref_t) == 64, "market");
static_assert(sizeof(bar_t) == 128 && sizeof(define_t) == 128, "wide");
#endif
