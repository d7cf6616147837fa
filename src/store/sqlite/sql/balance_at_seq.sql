-- The purses after the entry of a number, and its time; a purse without an entry by then is empty.
SELECT coalesce((SELECT p.balance_after FROM ts_points_detail AS p
                 WHERE p.user_id = ?1 AND p.user_seq <= ?2 ORDER BY p.user_seq DESC LIMIT 1), 0),
       coalesce((SELECT c.balance_after FROM ts_financial_transactions AS c
                 WHERE c.user_id = ?1 AND c.user_seq <= ?2 AND c.is_cash = 1 ORDER BY c.user_seq DESC LIMIT 1), 0),
       (SELECT f."time" FROM ts_financial_transactions AS f WHERE f.user_id = ?1 AND f.user_seq = ?2)
