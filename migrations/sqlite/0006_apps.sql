-- The models that an account is for are a list, whoever writes its row: one that cannot be read would keep all accounts
-- from being leased. Escapes are refused with what is no list: half a character may hide in one, and scrip writes none.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (6, '0.1.0');

CREATE TRIGGER ts_fal_account_apps_inserted BEFORE INSERT ON ts_fal_account
WHEN CASE WHEN json_valid(NEW.allowed_apps) AND json_type(NEW.allowed_apps) = 'array'
          AND instr(NEW.allowed_apps, '\u') = 0
     THEN EXISTS (SELECT 1 FROM json_each(NEW.allowed_apps) AS app WHERE app.type <> 'text')
     ELSE 1 END
BEGIN
    SELECT RAISE(ABORT, 'allowed_apps must be a JSON array of texts');
END;
CREATE TRIGGER ts_fal_account_apps_updated BEFORE UPDATE OF allowed_apps ON ts_fal_account
WHEN CASE WHEN json_valid(NEW.allowed_apps) AND json_type(NEW.allowed_apps) = 'array'
          AND instr(NEW.allowed_apps, '\u') = 0
     THEN EXISTS (SELECT 1 FROM json_each(NEW.allowed_apps) AS app WHERE app.type <> 'text')
     ELSE 1 END
BEGIN
    SELECT RAISE(ABORT, 'allowed_apps must be a JSON array of texts');
END;

-- The runs of one actor, newest first: those of the schedule, whatever others were begun.
CREATE INDEX scrip_reconciliations_actor ON scrip_reconciliations (actor, id);
