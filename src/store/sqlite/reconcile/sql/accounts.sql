-- Every account there is or was, with the ids of all keys that were ever leased of it, and when its balance was last told.
SELECT a.id, a.name, a.workspace, a.balance_nano_usd,
       coalesce((SELECT l.at FROM scrip_audit_log AS l
                  WHERE l.account_id = a.id AND instr(l.changes, '"balance_nano_usd":') > 0
                  ORDER BY l.id DESC LIMIT 1), a.created_at),
       (SELECT json_group_array(k.key_id ORDER BY k.key_id) FROM scrip_account_keys AS k
         WHERE k.account_id = a.id AND k.purpose = 'lease')
FROM ts_fal_account AS a
ORDER BY a.id
