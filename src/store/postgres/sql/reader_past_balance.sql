-- Each purse after its last entry up to a number. Points have a table of their own, cash an index of its own, so that
-- neither is looked for among the other's entries.
SELECT
    (
        SELECT p.balance_after FROM ts_points_detail AS p
        WHERE p.user_id = $1::bigint AND p.user_seq <= $2::bigint
        ORDER BY p.user_seq DESC LIMIT 1
    ) AS points,
    (
        SELECT f.balance_after FROM ts_financial_transactions AS f
        WHERE f.user_id = $1::bigint AND f.user_seq <= $2::bigint AND f.is_cash = 1
        ORDER BY f.user_seq DESC LIMIT 1
    ) AS cash,
    (
        SELECT f."time" FROM ts_financial_transactions AS f
        WHERE f.user_id = $1::bigint AND f.user_seq = $2::bigint
    ) AS "time"
