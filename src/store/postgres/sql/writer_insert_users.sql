-- New users, before anything of theirs: of two replicas that create the same user the second must fail here, where that
-- means deciding again, and not at some number of the user's chain. (Parts of one statement run in no fixed order.)
INSERT INTO ts_users (
    id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at, created_at,
    updated_at
)
SELECT
    n.id, n.points_balance, n.cash_balance, coalesce(n.points_held, 0), coalesce(n.cash_held, 0), n.entry_seq,
    n.chain_hash, n.last_entry_at, n.created_at, n.updated_at
FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[]
) AS n (
    id, points_balance, cash_balance, points_held, cash_held, entry_seq, chain_hash, last_entry_at, created_at,
    updated_at
)
