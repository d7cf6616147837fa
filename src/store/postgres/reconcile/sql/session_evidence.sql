-- A session that reads a month at leisure: sorts are large, and a cursor is read to its end.
SELECT
    set_config('statement_timeout', $1, false),
    set_config('work_mem', '32MB', false),
    set_config('cursor_tuple_fraction', '1', false)
