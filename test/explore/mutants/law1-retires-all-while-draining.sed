# check: queue-never-dies
# Law 1: gives up the claimed listeners too when it begins to drain.
/^drain(struct step/,/^}/ s/HANDOFF_REASON_UNCLAIMED/HANDOFF_REASON_RENOUNCED/
