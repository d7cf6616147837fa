-- Which of these rights a role lacks, the one that asks if none is named; one to some columns of a table counts. A table of another release is not asked for.
SELECT
    asked.role,
    coalesce(array_agg(format('%s of %s', needed.right_name, needed.table_name)) FILTER (
        WHERE to_regclass(needed.table_name) IS NOT NULL
            AND NOT CASE needed.right_name
                WHEN 'DELETE' THEN has_table_privilege(asked.role, needed.table_name, 'DELETE')
                ELSE has_any_column_privilege(asked.role, needed.table_name, needed.right_name)
            END
    ), '{}') AS missing
FROM (SELECT coalesce($3::text, current_user::text) AS role) AS asked,
    unnest($1::text[], $2::text[]) AS needed (table_name, right_name)
GROUP BY asked.role
