-- How many of a user's entries were written before a moment: a search by halves, for entries are numbered without a
-- gap in the order of their times, and no index on times is worth its cost on every charge. No row: no such user.
-- The answer always lies in low … high.
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, u.entry_seq FROM ts_users AS u WHERE u.id = $1::bigint
    UNION ALL
    SELECT
        CASE WHEN f."time" < $2::timestamptz THEN f.user_seq ELSE s.low END,
        CASE WHEN f."time" < $2::timestamptz THEN s.high ELSE (s.low + s.high + 1) / 2 - 1 END
    FROM search AS s
    LEFT JOIN ts_financial_transactions AS f ON f.user_id = $1::bigint AND f.user_seq = (s.low + s.high + 1) / 2
    WHERE s.low < s.high
)
SELECT s.low AS entry_seq FROM search AS s WHERE s.low >= s.high
