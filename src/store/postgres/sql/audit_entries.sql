-- Every entry with its points row, page by page. The page is cut before the join, which then probes so many keys.
SELECT
    f.user_id, f.user_seq, f.operation, f.source_type, f.transaction_type, f.is_cash, f.money, f.balance_before,
    f.balance_after, f.order_id, f.title, f.deployment_uuid, f.pay_type, f."time", f.request_id, f.actor,
    f.entry_hash,
    p.points AS p_points, p.order_id AS p_order_id, p.title AS p_title, p.source_type AS p_source_type,
    p.balance_before AS p_balance_before, p.balance_after AS p_balance_after, p.created_at AS p_created_at,
    p.request_id AS p_request_id, p.actor AS p_actor
FROM (
    SELECT
        e.user_id, e.user_seq, e.operation, e.source_type, e.transaction_type, e.is_cash, e.money, e.balance_before,
        e.balance_after, e.order_id, e.title, e.deployment_uuid, e.pay_type, e."time", e.request_id, e.actor,
        e.entry_hash
    FROM ts_financial_transactions AS e
    WHERE (e.user_id, e.user_seq) > ($1::bigint, $2::bigint)
    ORDER BY e.user_id, e.user_seq
    LIMIT $3::bigint
) AS f
LEFT JOIN ts_points_detail AS p ON p.user_id = f.user_id AND p.user_seq = f.user_seq
ORDER BY f.user_id, f.user_seq
