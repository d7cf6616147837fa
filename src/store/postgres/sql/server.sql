-- Which server this is, and where in it an unqualified table would be made.
SELECT
    current_setting('server_version_num')::integer AS version_number,
    current_setting('server_version') AS version,
    current_database()::text AS database,
    current_schema()::text AS schema
