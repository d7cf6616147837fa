-- Which of these rights a role lacks, the one that asks if none is named. A table of another release is not asked for.
SELECT
    asked.role,
    coalesce(array_agg(format('%s of %s', needed.right_name, needed.table_name)) FILTER (
        WHERE to_regclass(needed.table_name) IS NOT NULL
            AND NOT CASE
                WHEN needed.of_columns
                    THEN has_any_column_privilege(asked.role, needed.table_name, needed.right_name)
                ELSE has_table_privilege(asked.role, needed.table_name, needed.right_name)
            END
    ), '{}') || CASE
        WHEN to_regclass($4) IS NULL OR has_sequence_privilege(asked.role, $4, 'USAGE') THEN '{}'
        ELSE ARRAY[format('USAGE of %s', $4)]
    END AS missing,
    CASE WHEN NOT has_schema_privilege(asked.role, current_schema(), 'USAGE') THEN current_schema()::text END AS closed_schema
FROM (SELECT coalesce($5::text, current_user::text) AS role) AS asked,
    unnest($1::text[], $2::text[], $3::boolean[]) AS needed (table_name, right_name, of_columns)
GROUP BY asked.role
