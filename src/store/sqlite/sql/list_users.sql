-- Users newest first, before a creation and id. In two parts, since SQLite does not seek by a pair that ends in the
-- row id: users made by one batch share their creation.
SELECT u.id, u.points_balance, u.cash_balance, u.points_held, u.cash_held, u.entry_seq, u.chain_hash,
       u.last_entry_at, u.created_at, u.updated_at
FROM (SELECT s.created_at, s.id FROM ts_users AS s WHERE s.created_at = ?1 AND s.id < ?2
      UNION ALL
      SELECT o.created_at, o.id FROM ts_users AS o WHERE o.created_at < ?1
      ORDER BY 1 DESC, 2 DESC
      LIMIT ?3) AS k
CROSS JOIN ts_users AS u ON u.id = k.id
ORDER BY k.created_at DESC, k.id DESC
