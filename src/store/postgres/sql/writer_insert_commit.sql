-- Settles an unknown outcome: waits for the transaction that inserted this id first, and fails if that one committed.
INSERT INTO scrip_commits (id) VALUES ($1)
