-- Which server this is, where in it an unqualified table would be made, and whether the tables are distributed by Citus.
SELECT
    current_setting('server_version_num')::integer AS version_number,
    current_setting('server_version') AS version,
    current_database()::text AS database,
    current_schema()::text AS schema,
    EXISTS (
        SELECT 1 FROM pg_catalog.pg_indexes AS i
        WHERE i.schemaname = current_schema() AND i.indexname = 'ts_fal_tasks_owner'
    ) AS distributed
