-- What `scrip migrate --distribute citus` does, once, after the migrations: everything a user owns goes to the worker that
-- has the user, everything else is on every node. A unique constraint holds within a shard, so that it begins with the user.
ALTER TABLE ts_fal_tasks
    DROP CONSTRAINT ts_fal_tasks_pkey,
    DROP CONSTRAINT ts_fal_tasks_task_id,
    ADD PRIMARY KEY (user_id, id),
    ADD CONSTRAINT ts_fal_tasks_task_id UNIQUE (user_id, task_id);
DROP INDEX ts_fal_tasks_user;                            -- the primary key does its work
CREATE INDEX ts_fal_tasks_order ON ts_fal_tasks (id);    -- lists of all users, newest first
CREATE INDEX ts_fal_tasks_owner ON ts_fal_tasks (task_id); -- whose task it is: asked of every shard
ALTER TABLE ts_financial_transactions DROP CONSTRAINT ts_financial_transactions_id;
ALTER TABLE ts_points_detail DROP CONSTRAINT ts_points_detail_id;
SELECT create_distributed_table('ts_users', 'id', colocate_with => 'none');
SELECT create_distributed_table('ts_fal_tasks', 'user_id', colocate_with => 'ts_users');
SELECT create_distributed_table('scrip_task_attempts', 'user_id', colocate_with => 'ts_users');
SELECT create_distributed_table('ts_financial_transactions', 'user_id', colocate_with => 'ts_users');
SELECT create_distributed_table('ts_points_detail', 'user_id', colocate_with => 'ts_users');
SELECT create_distributed_table('scrip_requests', 'user_id', colocate_with => 'ts_users');
SELECT create_reference_table('ts_fal_account');
SELECT create_reference_table('scrip_workspaces');
SELECT create_reference_table('scrip_account_keys');
SELECT create_reference_table('scrip_leases');
