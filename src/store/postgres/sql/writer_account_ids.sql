-- Ids for accounts that may be added: never used before, and none is taken back.
SELECT nextval(pg_get_serial_sequence('ts_fal_account', 'id')) AS id FROM generate_series(1, $1::bigint)
