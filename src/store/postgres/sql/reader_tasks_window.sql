-- Where a window of so many tasks ends: a search for few among very many goes window by window, each within its limit.
SELECT t.id FROM ts_fal_tasks AS t WHERE t.id > $1::bigint ORDER BY t.id OFFSET $2::bigint LIMIT 1
