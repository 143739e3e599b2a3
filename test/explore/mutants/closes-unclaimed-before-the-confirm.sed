# check: untouched
# Retires what the successor did not claim when the commit is written.
/^in_paused(/,/^}/ s/add(s, HANDOFF_UNLOCK_OWNER);/add_reason(s, HANDOFF_RETIRE, HANDOFF_REASON_UNCLAIMED);\n\t\t&/
