-- What is held, from fills and adjustments; and the fills of an order without a look at all of them.
CREATE VIEW positions AS
  SELECT strategy, instrument, SUM(qty) AS qty FROM (
    SELECT strategy, instrument, CASE side WHEN 'BUY' THEN qty ELSE -qty END AS qty FROM fills
    UNION ALL SELECT strategy, instrument, qty FROM adjustments) AS moves
  GROUP BY strategy, instrument;
CREATE INDEX fills_by_order ON fills (number);
