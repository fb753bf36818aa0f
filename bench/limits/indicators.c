/* SMA(20), EMA(20), RSI(14), MACD(12, 26, 9), Bollinger(20, 2) and ATR(14) of one bar at a time, nothing else: the same definitions
 * and warm-ups as pyrt's, the same window whose sums never subtract, every period a constant and all six in one function. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define N 20
#define READY 35 /* updates until all averages are past their beginning */

typedef struct {
    double a[N], b[N], pa, pb, key;
    double ema, up, down, fast, slow, signal, atr, before;
    int64_t seen;
    uint32_t i;
} six_t;

static void turn(six_t *s) {
    double sum = 0, squares = 0;
    s->key = s->a[N - 1];
    for (int j = N - 1; j >= 0; j--) {
        double d = s->a[j] - s->key;
        s->a[j] = sum += d;
        s->b[j] = squares += d * d;
    }
    s->pa = s->pb = 0;
    s->i = 0;
}

static double share(int64_t t, int64_t begin, int64_t n, double after) {
    return t <= begin ? 0 : t <= begin + n ? 1.0 / (double)(t - begin) : after;
}

static __attribute__((noinline)) int tick(six_t *s, double high, double low, double close, double *out) {
    double k20 = 2.0 / 21, k14 = 1.0 / 14, k12 = 2.0 / 13, k26 = 2.0 / 27, k9 = 2.0 / 10;
    if (!(fabs(high) <= 1e100) || !(fabs(low) <= 1e100) || !(fabs(close) <= 1e100))
        return 0;
    int64_t t = s->seen + 1;
    if (t <= READY) {
        s->seen = t;
        k20 = share(t, 0, 20, k20), k14 = share(t, 1, 14, k14);
        k12 = share(t, 14, 12, k12), k26 = share(t, 0, 26, k26), k9 = share(t, 25, 9, k9);
    }
    double d = close - s->key;
    s->pa += d;
    s->pb += d * d;
    s->a[s->i++] = close;
    if (s->i == N)
        turn(s);
    double sum = s->a[s->i] + s->pa, mean = s->key + sum * (1.0 / N);
    double squares = s->b[s->i] + s->pb - sum * sum * (1.0 / N);
    double width = 2.0 * sqrt((squares > 0 ? squares : 0) * (1.0 / N));

    s->ema += k20 * (close - s->ema);
    s->fast += k12 * (close - s->fast);
    s->slow += k26 * (close - s->slow);
    double macd = s->fast - s->slow;
    s->signal += k9 * (macd - s->signal);

    double change = close - s->before;
    s->up += k14 * ((change > 0 ? change : 0) - s->up);
    s->down += k14 * ((change < 0 ? -change : 0) - s->down);
    double total = s->up + s->down;
    double range = (high > s->before ? high : s->before) - (low < s->before ? low : s->before);
    s->atr += k14 * (range - s->atr);
    s->before = close;

    out[0] = mean;
    out[1] = s->ema;
    out[2] = total > 0 ? 100 * s->up / total : 0;
    out[3] = macd, out[4] = s->signal, out[5] = macd - s->signal;
    out[6] = mean, out[7] = mean + width, out[8] = mean - width;
    out[9] = s->atr;
    return 1;
}

void six_new(six_t *s) { memset(s, 0, sizeof *s); }

int64_t six_size(void) { return sizeof(six_t); }

/* Columns in, a row of ten outputs for each bar; the number of bars taken in. */
int64_t six_apply(six_t *s, const double *high, const double *low, const double *close, int64_t n, double *out) {
    int64_t i = 0;
    while (i < n && tick(s, high[i], low[i], close[i], out + i * 10))
        i++;
    return i;
}
