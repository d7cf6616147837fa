-- A run that judges anew has found nothing yet.
UPDATE scrip_reconciliations SET
    findings_high = 0, findings_medium = 0, findings_low = 0, cost_changes = 0, costs_applied = 0, summary = '',
    detail = ''
WHERE id = ?1 AND state = 'running'
