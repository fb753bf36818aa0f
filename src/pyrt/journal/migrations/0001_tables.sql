-- The journal's tables. `journal` and `seq` of meta say which journal and how far; seq moves in the transaction of the rows.
CREATE TABLE meta (one smallint PRIMARY KEY CHECK (one = 1), journal text NOT NULL, seq bigint NOT NULL);
CREATE TABLE instruments (id bigint NOT NULL, symbol text NOT NULL, currency text NOT NULL, tick bigint NOT NULL, lot bigint NOT
  NULL, qty_exp bigint NOT NULL, multiplier bigint NOT NULL, PRIMARY KEY (id));
CREATE TABLE strategies (id bigint NOT NULL, name text NOT NULL, PRIMARY KEY (id));
CREATE TABLE orders (number bigint NOT NULL, seq bigint NOT NULL, strategy bigint NOT NULL, source bigint NOT NULL, instrument
  bigint NOT NULL, side text NOT NULL, type text NOT NULL, tif text NOT NULL, qty bigint NOT NULL, limit_px bigint NOT NULL,
  stop_px bigint NOT NULL, reduce_only bigint NOT NULL, replaces bigint NOT NULL, root bigint NOT NULL, cid text NOT NULL, ref_px
  bigint NOT NULL, ts bigint NOT NULL, status text NOT NULL, venue_order_id text NOT NULL, filled_qty bigint NOT NULL, code bigint
  NOT NULL, reason text NOT NULL, tries bigint NOT NULL, changed_ts bigint NOT NULL, PRIMARY KEY (number));
CREATE TABLE fills (venue_order_id text NOT NULL, cum_qty bigint NOT NULL, seq bigint NOT NULL, number bigint NOT NULL, strategy
  bigint NOT NULL, instrument bigint NOT NULL, side text NOT NULL, px bigint NOT NULL, qty bigint NOT NULL, fee bigint NOT NULL,
  execution_id text NOT NULL, activity_id text NOT NULL, source text NOT NULL, ts bigint NOT NULL, PRIMARY KEY (venue_order_id,
  cum_qty));
CREATE TABLE adjustments (seq bigint NOT NULL, strategy bigint NOT NULL, instrument bigint NOT NULL, qty bigint NOT NULL, cost
  bigint NOT NULL, reason text NOT NULL, ts bigint NOT NULL, PRIMARY KEY (seq));
CREATE TABLE refusals (seq bigint NOT NULL, strategy bigint NOT NULL, source bigint NOT NULL, instrument bigint NOT NULL, side
  text NOT NULL, type text NOT NULL, qty bigint NOT NULL, codes text NOT NULL, breaches text NOT NULL, ts bigint NOT NULL, PRIMARY
  KEY (seq));
CREATE TABLE latches (seq bigint NOT NULL, level text NOT NULL, scope text NOT NULL, code text NOT NULL, reason text NOT NULL, who
  text NOT NULL, ts bigint NOT NULL, PRIMARY KEY (seq));
CREATE TABLE alarms (seq bigint NOT NULL, severity text NOT NULL, code text NOT NULL, text text NOT NULL, ts bigint NOT NULL,
  PRIMARY KEY (seq));
CREATE TABLE notes (seq bigint NOT NULL, kind text NOT NULL, content text NOT NULL, PRIMARY KEY (seq));
