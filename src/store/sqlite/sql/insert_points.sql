-- The twins of movements of the points purse.
INSERT INTO ts_points_detail
    (user_id, user_seq, points, order_id, title, source_type, balance_before, balance_after, created_at,
     request_id, actor)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
