-- The batch's id: tells what became of a COMMIT that was never answered.
INSERT INTO scrip_commits (id) VALUES (?)
